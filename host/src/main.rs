use std::process::ExitCode;

fn main() -> ExitCode {
    falco_response_controller::cli::main()
}
