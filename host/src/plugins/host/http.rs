//! `http`: hands the request to the gate, which reads it; and its answer to the action.

use crate::plugins::bindings::falco_response::plugin::http::{Error, Host, Request, Response};
use crate::plugins::sandbox::Sandbox;
use crate::safety::WebRequest;

use super::convert;

impl Host for Sandbox {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        let outside = &*self.enter("http.send")?.outside;
        let Request { method, url, headers, body } = request;
        let answer = outside.send_outside(WebRequest { method, url, headers, body }).await;
        let answer = answer.map(|answer| Response {
            status: answer.status,
            headers: answer.headers,
            body: answer.body.unwrap_or_default().to_vec(),
        });
        Ok(answer.map_err(convert::error))
    }
}
