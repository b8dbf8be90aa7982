//! Answers that are made up: for the cases of an action, and wherever it is only tried. Nothing leaves the program.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use hyper::body::Bytes;

use super::outlet::Sent;
use super::url::Url;
use super::{Answer, Message, Unread, WebError};

/// What a server is made to say. Cheap to clone.
#[derive(Clone, Default)]
pub struct Script {
    replies: Arc<Mutex<Vec<Reply>>>,
    sent: Sent,
}

/// To requests of that method, where it is given, for that URL, or, where its path ends with `/`, below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub method: Option<Method>,
    pub url: Url,
    pub answer: Made,
    /// How often.
    pub times: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// The server took it, and nobody hears of it.
    Lost,
    /// There is no connection.
    Refused,
}

impl Script {
    pub fn say(&self, reply: Reply) {
        lock(&self.replies).push(reply);
    }

    /// What would have left, in order.
    pub fn sent(&self) -> Vec<Message> {
        lock(&self.sent).clone()
    }

    /// A server of which nothing is said takes everything.
    pub(super) fn answer(&self, message: &Message) -> Result<Answer, WebError> {
        let made = {
            let mut replies = lock(&self.replies);
            let fits = |reply: &&mut Reply| {
                reply.times > 0
                    && reply.method.as_ref().is_none_or(|method| *method == message.method)
                    && reply.url.covers(&message.url)
            };
            replies.iter_mut().find(fits).map(|reply| {
                reply.times -= 1;
                reply.answer.clone()
            })
        };
        if made != Some(Made::Refused) {
            lock(&self.sent).push(message.clone());
        }
        match made {
            None => Ok(Answer { status: 200, headers: Vec::new(), body: Ok(Bytes::new()) }),
            Some(Made::Answer { status, headers, body }) => {
                let body = if body.len() <= super::LARGEST_ANSWER { Ok(body) } else { Err(Unread::TooLarge) };
                Ok(Answer { status, headers, body })
            }
            Some(Made::Lost) => Err(WebError::NoAnswer("injected fault: the answer is lost".to_owned())),
            Some(Made::Refused) => Err(WebError::NotSent("injected fault: there is no connection".to_owned())),
        }
    }
}

/// Every change is a push or an assignment: the data is whole even if a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
