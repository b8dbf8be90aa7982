//! A bare axum server, to stand beside the controller: it reads what is posted and answers 204.

use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

/// Serves until it is killed; its first line says where.
pub fn serve() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let routes = Router::new().route("/alert", post(|_body: Bytes| async { StatusCode::NO_CONTENT }));
        axum::serve(listener, routes).await.expect("it serves");
    });
    ExitCode::SUCCESS
}
