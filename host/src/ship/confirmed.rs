//! Delivery that counts only once it is found stored: sent ahead in order, asked for together, settled one by one.
//!
//! What was accepted is known in memory alone. After a restart it is sent again, which is what `entry_id` is for.

use std::time::Duration;

use tokio::time::Instant;
use tower::ServiceExt as _;

use super::channel::{EncodeError, ReadBack};
use super::read_back;
use super::shipper::{Courier, Round, Sent};
use crate::faults;
use crate::journal::Parcel;
use crate::telemetry::log::Level;

/// How much is sent before the end.
const LAST: usize = 4096;

impl Courier {
    pub(super) async fn confirmed_round(&mut self, read_back: &dyn ReadBack) -> Round {
        loop {
            // Before the end everything is sent, asked for or not.
            let most = if self.last { LAST } else { read_back::MOST };
            let parcels = match self.journal.parcels(self.channel.destination(), most).await {
                Ok(parcels) => parcels,
                Err(error) => return self.journal_failed(&error),
            };
            if parcels.is_empty() {
                return Round::Empty;
            }
            if let Err(round) = self.send_ahead(&parcels).await {
                return round;
            }
            let ask_in = self.pace.ask.saturating_sub(self.asked.map_or(Duration::MAX, |asked| asked.elapsed()));
            if !ask_in.is_zero() {
                return Round::Unconfirmed { ask_in };
            }
            match self.settle_stored(read_back, &parcels).await {
                Ok(0) => return Round::Unconfirmed { ask_in: self.pace.ask },
                // There may be more behind them.
                Ok(_) => {}
                Err(round) => return round,
            }
        }
    }

    /// Sends what was not sent yet, and again what has been accepted long ago and was not found since: each parcel once
    /// in that time, and no more of them than are asked for at once.
    async fn send_ahead(&mut self, parcels: &[Parcel]) -> Result<(), Round> {
        let mut again = 0;
        for parcel in parcels {
            match self.accepted.get(&parcel.id) {
                Some(at) if at.elapsed() < self.pace.resend => continue,
                Some(_) => again += 1,
                None => {}
            }
            match self.send(parcel).await {
                Sent::Accepted => drop(self.accepted.insert(parcel.id, Instant::now())),
                Sent::GivenUp => {}
                Sent::Failed(round) => return Err(round),
            }
        }
        if again > 0 {
            self.metrics.deliveries(self.channel.destination(), "unconfirmed", again);
            let message = "records that were accepted are not stored after a while, and were sent again";
            self.say(Level::Warn, message, &[("records", again.into())]);
        }
        Ok(())
    }

    /// How many were found stored.
    async fn settle_stored(&mut self, read_back: &dyn ReadBack, parcels: &[Parcel]) -> Result<usize, Round> {
        self.asked = Some(Instant::now());
        let accepted = parcels.iter().filter(|parcel| self.accepted.contains_key(&parcel.id));
        let asked: Vec<_> = accepted.take(read_back::MOST).collect();
        if asked.is_empty() {
            return Ok(0);
        }
        let request = match read_back.ask(&asked, self.ambient.now()) {
            Ok(request) => request,
            Err(EncodeError::Retry(why) | EncodeError::Never(why)) => return Err(self.failed(None, &why)),
        };
        faults::point("before:search");
        let answer = self.searcher.clone().oneshot(request).await.map_err(|error| error.to_string());
        faults::point("after:search");
        let stored = match answer.and_then(|answer| read_back.stored(&asked, &answer)) {
            Ok(stored) => stored,
            Err(why) => return Err(self.failed(None, &why)),
        };
        let found: Vec<i64> = asked.iter().map(|parcel| parcel.id).filter(|id| stored.contains(id)).collect();
        self.delivered(found.clone()).await?;
        for id in found {
            self.accepted.remove(&id);
        }
        Ok(stored.len())
    }
}
