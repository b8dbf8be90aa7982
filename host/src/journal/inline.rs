//! The journal without its thread, for a simulation: whoever orders a write sees to it that its group is committed, on
//! the simulation's schedule. Groups, order and answers are those of the thread.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::writer::{GROUP, State, Task, Work, commit_group};
use super::{Committed, JournalError, Store, Write};

/// What stands for the disk: how long it takes, and whether it takes anything.
pub trait Disk: Send + Sync {
    /// Asked before a group is committed; an error fails all of it.
    fn before<'a>(
        &'a self,
        group: &'a [&'a Write],
    ) -> Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>>;

    /// Asked when it is on disk and nobody has been told.
    fn after(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[derive(Clone)]
pub(super) struct Inline(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    waiting: Mutex<VecDeque<Task>>,
    /// None once closed. Held by one group at a time, in the order in which they came.
    store: tokio::sync::Mutex<Option<Store>>,
}

impl Inline {
    pub fn new(store: Store, disk: Arc<dyn Disk>) -> Self {
        Self(Arc::new(Inner { disk, waiting: Mutex::default(), store: tokio::sync::Mutex::new(Some(store)) }))
    }

    pub async fn order(&self, work: Work, state: Arc<State>) -> Result<Committed, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.0.waiting().push_back(Task { work, answer });
        let inner = Arc::clone(&self.0);
        // In a task of its own: as with the thread, what was ordered is done even if nobody waits any more.
        tokio::spawn(async move { inner.commit_what_waits(&state).await });
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    pub async fn close(&self) {
        drop(self.0.store.lock().await.take());
    }
}

impl Inner {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Task>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit_what_waits(&self, state: &State) {
        let mut store = self.store.lock().await;
        let group: Vec<Task> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(GROUP);
            waiting.drain(..count).collect()
        };
        // Another one's group had it all; or it is closed, and dropping the tasks says so.
        let Some(store) = store.as_mut().filter(|_| !group.is_empty()) else { return };
        let writes: Vec<&Write> = group.iter().flat_map(|task| task.work.writes()).collect();
        if let Err(error) = self.disk.before(&writes).await {
            state.failed();
            for task in group {
                // Whoever asked may have stopped waiting.
                let _ = task.answer.send(Err(error.clone()));
            }
            return;
        }
        let mut told = Vec::with_capacity(group.len());
        let group = group.into_iter().map(|Task { work, answer }| {
            let (done, result) = oneshot::channel();
            told.push((answer, result));
            Task { work, answer: done }
        });
        let group = group.collect();
        commit_group(store, group, state);
        self.disk.after().await;
        for (answer, result) in told {
            let _ = answer.send(result.await.unwrap_or(Err(JournalError::Closed)));
        }
    }
}
