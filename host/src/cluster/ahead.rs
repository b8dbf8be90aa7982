//! Reads that are begun before they are asked for, and owners that several ask for at the same moment.
//!
//! What is checked, and in which order, stays as it is: only the waiting is shorter. An answer counts for the object that was asked
//! for, while it is fresh, and an owner's only with the UID that is referred to. Whatever else came (403, 404, silence,
//! another UID) counts for nothing, and the object is read as if nothing had been begun.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::names::ObjectRef;
use super::{ApiError, uid_str};

/// How long after it was begun the read of a target may be used: about as long as it takes from a check to the change anyway.
const FRESH: Duration = Duration::from_millis(50);
/// The same of an owner. A burst of alerts asks for the same few again and again, and nothing but their own owners is looked
/// at, under the UID that the fresh pod refers to. A controller's informer may lag behind by more.
const OWNER_FRESH: Duration = Duration::from_millis(500);
/// More than are ever read within that time.
const MOST: usize = 1024;

/// A read of one object that is under way.
#[derive(Clone)]
pub struct Ahead(Arc<Mutex<Option<Begun>>>);

struct Begun {
    path: String,
    at: Instant,
    answer: JoinHandle<Result<Value, ApiError>>,
}

impl Ahead {
    pub(super) fn begin(
        object: &ObjectRef,
        read: impl Future<Output = Result<Value, ApiError>> + Send + 'static,
    ) -> Self {
        let begun = Begun { path: object.path(), at: Instant::now(), answer: tokio::spawn(read) };
        Self(Arc::new(Mutex::new(Some(begun))))
    }

    /// What was found, once, if it is of this object and fresh.
    pub(super) async fn take(&self, object: &ObjectRef) -> Option<Value> {
        let begun = lock(&self.0).take_if(|begun| begun.path == object.path())?;
        if begun.at.elapsed() > FRESH {
            return None;
        }
        begun.answer.await.ok()?.ok()
    }
}

/// Owners that are being read, or were a moment ago, by their path.
#[derive(Clone, Default)]
pub(super) struct Owners(Arc<Mutex<HashMap<String, (Instant, Shared)>>>);

type Shared = Arc<OnceCell<Arc<Value>>>;

impl Owners {
    /// The owner with the UID in `object`, by somebody else's read that is under way or by `read`.
    pub async fn get<R>(&self, object: &ObjectRef, read: impl Fn() -> R) -> Result<Arc<Value>, ApiError>
    where
        R: Future<Output = Result<Value, ApiError>>,
    {
        let shared = self.shared(&object.path());
        // What fails is nobody else's: the next one asks for itself.
        let found = shared.get_or_try_init(|| async { read().await.map(Arc::new) }).await?;
        let pinned = object.uid.as_ref().map(AsRef::<str>::as_ref);
        if pinned.is_none() || uid_str(found) == pinned {
            return Ok(Arc::clone(found));
        }
        // Perhaps the other one asked before this owner was there.
        read().await.map(Arc::new)
    }

    fn shared(&self, path: &str) -> Shared {
        let mut all = lock(&self.0);
        let fresh = |(at, _): &(Instant, Shared)| at.elapsed() <= OWNER_FRESH;
        if let Some((_, shared)) = all.get(path).filter(|one| fresh(one)) {
            return Arc::clone(shared);
        }
        if all.len() >= MOST {
            all.retain(|_, one| fresh(one));
        }
        let shared = Shared::default();
        if all.len() < MOST {
            all.insert(path.to_owned(), (Instant::now(), Arc::clone(&shared)));
        }
        shared
    }
}

/// Every change under the lock is a single one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::cluster::names::Uid;

    fn owner(uid: &str) -> ObjectRef {
        let object = ObjectRef::from_path("/apis/apps/v1/namespaces/production/replicasets/shop-7d9f4b").unwrap();
        ObjectRef { uid: Some(Uid::parse(uid).unwrap()), ..object }
    }

    fn found(uid: &str) -> Value {
        json!({"metadata": {"uid": uid}})
    }

    fn not_found() -> ApiError {
        let (reason, message) = ("NotFound".to_owned(), "no".to_owned());
        ApiError::Status { code: 404, reason, message, retry_after: None }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_is_used_once_and_while_it_is_fresh() {
        let object = owner("u");
        let begin = || Ahead::begin(&object, async { Ok(found("u")) });
        let ahead = begin();
        let other = ObjectRef::from_path("/api/v1/namespaces/production/pods/a").unwrap();
        assert_eq!(ahead.take(&other).await, None, "of another object");
        assert_eq!(ahead.take(&object).await, Some(found("u")));
        assert_eq!(ahead.take(&object).await, None, "only once");
        let ahead = begin();
        tokio::time::advance(FRESH + Duration::from_millis(1)).await;
        assert_eq!(ahead.take(&object).await, None, "too old");
        let ahead = Ahead::begin(&object, async { Err(not_found()) });
        assert_eq!(ahead.take(&object).await, None, "an answer that is none");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_the_same_moment_share_one_read_and_no_failure() {
        let (owners, reads) = (Owners::default(), AtomicUsize::new(0));
        let read = || async {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
            if number == 0 { Err(not_found()) } else { Ok(found("u")) }
        };
        let object = owner("u");
        let (first, second, third) =
            tokio::join!(owners.get(&object, read), owners.get(&object, read), owners.get(&object, read));
        assert_eq!(first, Err(not_found()));
        assert_eq!((second.map(|found| (*found).clone()), third.is_ok()), (Ok(found("u")), true));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        tokio::time::advance(OWNER_FRESH).await;
        owners.get(&object, read).await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 3, "what is old is read anew");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_with_another_uid_than_the_reference_is_read_anew() {
        let (owners, reads) = (Owners::default(), AtomicUsize::new(0));
        let read = || async {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            Ok(found(if number == 0 { "old" } else { "new" }))
        };
        owners.get(&owner("old"), read).await.unwrap();
        let now = owners.get(&owner("new"), read).await.unwrap();
        assert_eq!(uid_str(&now), Some("new"));
    }
}
