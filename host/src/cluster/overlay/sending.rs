//! Changes of a rehearsal: who judges each, and what is kept of the answer.

use super::super::names::{ApiResource, ObjectRef, Subresource, Uid};
use super::super::review::Access;
use super::super::{Answer, ApiError, Mutation, PatchDocument, Sending};
use super::{Key, Overlay, Reader, Scratch, Writer, absent, created, difference, uid_str};
use crate::ambient::Ambient;
use serde_json::Value;

/// What one chain may rehearse on: what it changes is held in memory, and an action chooses what that is.
const MOST_OBJECTS: usize = 64;
const MOST_BYTES: usize = 4 << 20;

/// Where an object stands that the chain has changed before.
enum Standing {
    /// The API server has it, with that UID.
    There(Box<There>),
    /// Deleted by the chain; the API server has it still.
    Gone,
    /// Made by the chain; the API server has none, or the one before it.
    OnlyHere,
}

struct There {
    uid: Uid,
    was: Value,
}

impl Overlay {
    /// Sends a change of a dry run, which is all that is sent here.
    ///
    /// | the object | is judged by |
    /// |---|---|
    /// | is new to the chain | the API server, dry |
    /// | was changed by it: a delete, an eviction | the API server, dry, of the object that it has; then here |
    /// | was changed by it: a patch, an apply | here; then the API server, dry, of the sum of the changes |
    /// | was deleted or made by it: a create | the API server, dry, that one of the name is there apart; then here |
    /// | was deleted or made by it: anything else | a review whether the account may do it; then here |
    ///
    /// "Here" are the rules of the simulated cluster, which the tests hold to the API server's. `before` is the object
    /// as it was read, where it was.
    ///
    /// # Errors
    /// As [`Writer::send`].
    pub async fn send(
        &self,
        (reader, writer): (&Reader, &Writer),
        ambient: &Ambient,
        mutation: &Mutation,
        before: Option<&Value>,
        sending: &Sending,
    ) -> Result<Answer, ApiError> {
        if !sending.dry_run {
            return Err(ApiError::NotSent("a rehearsal sends nothing live".to_owned()));
        }
        let object = subject(mutation);
        if object.resource.subresource().is_some() {
            self.is_there(&object)?;
            return writer.send(mutation, sending).await;
        }
        let scratch = self.scratch(ambient);
        scratch.bounded(&object, mutation)?;
        let here = Sending { dry_run: false, ..sending.clone() };
        let Some(standing) = scratch.standing(&object) else {
            let answer = writer.send(mutation, sending).await?;
            return Ok(scratch.first(&object, mutation, before, &here, answer).await);
        };
        match (standing, mutation) {
            (_, Mutation::Create { .. }) => match writer.send(mutation, sending).await {
                Err(error) if !is_already_there(&error) => return Err(error),
                _ => {}
            },
            (Standing::There(_), Mutation::Delete { .. } | Mutation::Evict { .. }) => {
                drop(writer.send(mutation, sending).await?);
            }
            (Standing::There(there), Mutation::Patch { .. } | Mutation::Apply { .. }) => {
                if let Some(answer) = scratch.sum(&object, &there, mutation, sending, writer).await? {
                    return Ok(answer);
                }
            }
            (Standing::Gone | Standing::OnlyHere, _) => allowed(reader, mutation, &object).await?,
        }
        let answer = scratch.writer.send(mutation, &here).await?;
        if matches!(mutation, Mutation::Create { .. }) || answer.code == 201 {
            scratch.make_up(&answer.object);
        }
        Ok(answer)
    }
}

impl Scratch {
    /// # Errors
    /// 413 for what would make the rehearsal larger than it may be. Live, it would not be held at all.
    fn bounded(&self, object: &ObjectRef, mutation: &Mutation) -> Result<(), ApiError> {
        let known = self.touched().was.contains_key(&Key::of(object));
        let held: usize = self.simulation.objects().iter().map(size).sum();
        let why = match mutation {
            _ if !known && self.touched().was.len() >= MOST_OBJECTS => {
                format!("a chain rehearses changes to {MOST_OBJECTS} objects at most")
            }
            _ if held + written(mutation) > MOST_BYTES => {
                format!("what a chain rehearses may have {MOST_BYTES} bytes at most")
            }
            // A copy of a copy doubles what is there with every line.
            Mutation::Patch { document: PatchDocument::Operations(list), .. } if known && copies(list) => {
                "a chain does not rehearse `copy` on an object that it has changed before".to_owned()
            }
            _ => return Ok(()),
        };
        let (reason, message) = ("RequestEntityTooLarge".to_owned(), format!("not rehearsed: {why}"));
        Err(ApiError::Status { code: 413, reason, message, retry_after: None })
    }

    fn standing(&self, object: &ObjectRef) -> Option<Standing> {
        let was = self.touched().was.get(&Key::of(object)).cloned()?;
        let Some(here) = self.simulation.object(&object.path()) else { return Some(Standing::Gone) };
        let uid = uid_str(&was).filter(|uid| uid_str(&here) == Some(uid)).and_then(|uid| Uid::parse(uid).ok());
        Some(match uid {
            Some(uid) => Standing::There(Box::new(There { uid, was })),
            None => Standing::OnlyHere,
        })
    }

    /// Keeps what the API server answered to the first change of an object.
    async fn first(
        &self,
        object: &ObjectRef,
        mutation: &Mutation,
        before: Option<&Value>,
        here: &Sending,
        answer: Answer,
    ) -> Answer {
        match mutation {
            Mutation::Create { .. } | Mutation::Apply { .. } | Mutation::Patch { .. } => {
                if before.is_none() {
                    self.make_up(&answer.object);
                }
                let laid = self.simulation.lay(object, answer.object);
                self.touch(object, before.cloned().unwrap_or_default());
                Answer { object: laid, ..answer }
            }
            Mutation::Delete { .. } | Mutation::Evict { .. } => {
                // What is deleted was read before, and the answer does not say whether it is gone or going.
                if let Some(before) = before {
                    self.simulation.lay(object, before.clone());
                    self.touch(object, before.clone());
                    if let Err(error) = self.writer.send(mutation, here).await {
                        tracing::warn!("the rehearsal goes on as if {object} had not been deleted: {error}");
                    }
                }
                answer
            }
        }
    }

    /// Asks the API server for all that the chain has changed of an object at once, this change included. Answers where
    /// the object is then in place already.
    async fn sum(
        &self,
        object: &ObjectRef,
        there: &There,
        mutation: &Mutation,
        sending: &Sending,
        writer: &Writer,
    ) -> Result<Option<Answer>, ApiError> {
        match self.writer.send(mutation, sending).await {
            Ok(would_be) => {
                let document = PatchDocument::Merge(difference::to_ask_for(&there.was, &would_be.object));
                let all = Mutation::Patch { object: object.clone(), uid: there.uid.clone(), document };
                writer.send(&all, sending).await.map(|_| None)
            }
            // Lists that are merged by key take the API server's schemas: what it alone makes of it is laid on top.
            Err(ApiError::Status { code: 501, .. }) => {
                let answer = writer.send(mutation, sending).await?;
                let mut merged = self.simulation.object(&object.path()).ok_or_else(|| absent(object))?;
                json_patch::merge(&mut merged, &difference::to_ask_for(&there.was, &answer.object));
                Ok(Some(Answer { object: self.simulation.lay(object, merged), ..answer }))
            }
            Err(no) => Err(no),
        }
    }
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// Of the document that a change brings.
fn written(mutation: &Mutation) -> usize {
    match mutation {
        Mutation::Create { manifest, .. } | Mutation::Apply { manifest, .. } => size(manifest),
        Mutation::Patch { document, .. } => match document {
            PatchDocument::Merge(value) | PatchDocument::Operations(value) | PatchDocument::Strategic(value) => {
                size(value)
            }
        },
        Mutation::Delete { .. } | Mutation::Evict { .. } => 0,
    }
}

fn copies(operations: &Value) -> bool {
    operations.as_array().into_iter().flatten().any(|operation| operation["op"] == "copy")
}

/// The object itself, for an eviction as well.
fn subject(mutation: &Mutation) -> ObjectRef {
    match mutation {
        Mutation::Create { resource, namespace, name, .. } => created(resource, namespace.as_ref(), name),
        Mutation::Apply { object, .. } | Mutation::Patch { object, .. } | Mutation::Delete { object, .. } => {
            object.clone()
        }
        Mutation::Evict { pod, .. } => pod.clone(),
    }
}

fn is_already_there(error: &ApiError) -> bool {
    matches!(error, ApiError::Status { code: 409, reason, .. } if reason == "AlreadyExists")
}

/// Whether the account may do what the API server cannot be asked to do.
async fn allowed(reader: &Reader, mutation: &Mutation, object: &ObjectRef) -> Result<(), ApiError> {
    let (verb, resource) = match mutation {
        Mutation::Create { .. } => ("create", object.resource.clone()),
        Mutation::Apply { .. } | Mutation::Patch { .. } => ("patch", object.resource.clone()),
        Mutation::Delete { .. } => ("delete", object.resource.clone()),
        Mutation::Evict { .. } => ("create", ApiResource::pods().with_subresource(Subresource::Eviction)),
    };
    let access = Access {
        verb: verb.to_owned(),
        group: resource.group().to_owned(),
        resource: resource.rbac_name(),
        namespace: object.namespace.clone(),
        name: Some(object.name.clone()),
    };
    match reader.reviewer().may(&access).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!("the account of this program may not {access}");
            Err(ApiError::Status { code: 403, reason: "Forbidden".to_owned(), message, retry_after: None })
        }
        Err(error) => Err(ApiError::NotSent(format!("whether the account may {access} is not known: {error}"))),
    }
}
