//! One file a subcommand; turns arguments into calls, errors into exit codes.
