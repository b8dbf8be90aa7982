//! What the mock answers beside the cluster: servers, and commands in containers.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Call, Mock, Operation, error};
use crate::json::Value;
use crate::{ClusterError, Command, HttpRequest, HttpResponse, Method, ObjectRef, Output, Reason};

type Answer<T> = Result<T, ClusterError>;

#[derive(Default)]
pub(super) struct Outside {
    /// What the manifest declares.
    pub methods: &'static [Method],
    /// By URL.
    servers: Vec<(String, Answer<HttpResponse>)>,
    /// By the words that a command begins with.
    programs: Vec<(Vec<String>, Answer<Output>)>,
    requests: Vec<HttpRequest>,
    commands: Vec<Command>,
}

impl Mock {
    /// What a server answers to requests for this very URL. One of which nothing is said answers 200, without a body.
    ///
    /// ```
    /// # use falco_response_sdk::{kinds, mock::Mock};
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1")).with_server("https://hooks.example.com/falco", 503, "later");
    /// ```
    #[must_use]
    pub fn with_server(self, url: &str, status: u16, body: &str) -> Self {
        let answer = HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_owned() };
        self.state.borrow_mut().outside.servers.push((url.to_owned(), Ok(answer)));
        self
    }

    /// Requests for this very URL fail: a denial of the controller's, no connection, no answer.
    ///
    /// ```
    /// # use falco_response_sdk::{Reason, kinds, mock::Mock};
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
    ///     .with_server_failing("https://hooks.example.com/falco", Reason::Denied, "not granted");
    /// ```
    #[must_use]
    pub fn with_server_failing(self, url: &str, reason: Reason, message: &str) -> Self {
        self.state.borrow_mut().outside.servers.push((url.to_owned(), Err(error(reason, message))));
        self
    }

    /// What a command that begins with these words comes to. One of which nothing is said ends well and prints nothing.
    ///
    /// ```
    /// # use falco_response_sdk::{Output, kinds, mock::Mock};
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1")).with_program(&["cat", "/etc/passwd"], Output::printing("root"));
    /// ```
    #[must_use]
    pub fn with_program(self, words: &[&str], output: Output) -> Self {
        self.program(words, Ok(output))
    }

    /// A command that begins with these words fails: it is no program of the container's, the pod is gone, nobody hears of it.
    ///
    /// ```
    /// # use falco_response_sdk::{Reason, kinds, mock::Mock};
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
    ///     .with_program_failing(&["tar"], Reason::Invalid, "the container cannot start it");
    /// ```
    #[must_use]
    pub fn with_program_failing(self, words: &[&str], reason: Reason, message: &str) -> Self {
        self.program(words, Err(error(reason, message)))
    }

    fn program(self, words: &[&str], answer: Answer<Output>) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.state.borrow_mut().outside.programs.push((words, answer));
        self
    }

    /// The requests to servers that the action made, in order; those that were not declared are not among them.
    ///
    /// ```
    /// # use falco_response_sdk::{kinds, mock::Mock};
    /// assert_eq!(Mock::on(kinds::PODS.in_namespace("shop", "web-1")).requests(), []);
    /// ```
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.state.borrow().outside.requests.clone()
    }

    /// The commands that the action ran, in order.
    ///
    /// ```
    /// # use falco_response_sdk::{kinds, mock::Mock};
    /// assert_eq!(Mock::on(kinds::PODS.in_namespace("shop", "web-1")).commands(), []);
    /// ```
    pub fn commands(&self) -> Vec<Command> {
        self.state.borrow().outside.commands.clone()
    }

    pub(crate) fn send(&self, request: &HttpRequest) -> Answer<HttpResponse> {
        let outside = &mut self.state.borrow_mut().outside;
        if !outside.methods.iter().any(|method| method.as_str() == request.method) {
            let message = ["the manifest does not declare requests with ", &request.method].concat();
            return Err(error(Reason::Denied, message));
        }
        outside.requests.push(request.clone());
        let known = outside.servers.iter().find(|(url, _)| *url == request.url);
        known.map_or_else(
            || Ok(HttpResponse { status: 200, headers: Vec::new(), body: Vec::new() }),
            |(_, answer)| answer.clone(),
        )
    }

    pub(crate) fn exec(&self, pod: &ObjectRef, command: &Command) -> Answer<Output> {
        let call = Call {
            operation: Operation::Exec,
            object: pod.clone(),
            document: Value::Null,
            force: false,
            grace_period_seconds: None,
        };
        if self.target.as_ref().is_none_or(|target| (&target.namespace, &target.name) != (&pod.namespace, &pod.name)) {
            return Err(error(Reason::Denied, "commands are run in the target pod alone"));
        }
        self.call(call, |state| {
            state.store.identified(pod)?;
            state.outside.commands.push(command.clone());
            let begins = |words: &[String]| command.command.len() >= words.len() && command.command.starts_with(words);
            let known = state.outside.programs.iter().find(|(words, _)| begins(words));
            known.map_or_else(|| Ok(Output::printing("")), |(_, answer)| answer.clone())
        })
    }
}
