//! What waits while alerts wait for a place, and what does not.

use super::pages::webhook;
use super::*;
use crate::ship::acceptance::Acceptance;

/// In which nothing but a place that is free, or the end, can have sent anything.
const HOURS: Pace = Pace { gives_way: Duration::from_secs(3600), poll: Duration::from_secs(3600), ..FAST };

impl Place {
    /// With the first round of its courier over, and from now on without a place for an action.
    async fn crowded(&self, pace: Pace, far: &Far, channel: impl Channel + 'static) -> ShipperHandle {
        self.record(1).await;
        let shipper = self.start(pace, far.client(), channel);
        self.emptied("graylog").await;
        self.crowded.store(true, Ordering::Relaxed);
        shipper
    }
}

#[tokio::test]
async fn records_leave_once_there_is_a_place_for_an_action() {
    let (place, far) = (Place::new(), Far::default());
    let shipper = place.crowded(HOURS, &far, graylog()).await;
    for number in 2..=4 {
        place.record(number).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(far.numbers(), [1]);
    place.crowded.store(false, Ordering::Relaxed);
    place.emptied("graylog").await;
    assert_eq!(far.numbers(), [1, 2, 3, 4]);
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn they_leave_after_a_while_also_where_there_never_is_one() {
    let (place, far) = (Place::new(), Far::default());
    let shipper = place.crowded(Pace { poll: HOURS.poll, ..FAST }, &far, graylog()).await;
    for number in 2..=4 {
        place.record(number).await;
        place.emptied("graylog").await;
    }
    assert_eq!(far.numbers(), [1, 2, 3, 4]);
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn what_an_action_or_a_person_waits_for_does_not_wait() {
    let (place, far) = (Place::new(), Far::default());
    let shipper = place.crowded(HOURS, &far, graylog().announcing(Acceptance::default())).await;
    let pager = place.start(HOURS, far.client(), webhook(&place));
    for number in 2..=4 {
        place.record(number).await;
        place.emptied("graylog").await;
        place.page("webhook").await;
        place.emptied("webhook").await;
    }
    assert_eq!(far.bodies().len(), 7);
    pager.flush_and_stop(PATIENT).await;
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn the_end_waits_for_no_place() {
    let (place, far) = (Place::new(), Far::default());
    let shipper = place.crowded(HOURS, &far, graylog()).await;
    place.record(2).await;
    tokio::time::timeout(PATIENT, shipper.flush_and_stop(HOURS.gives_way)).await.expect("stops");
    assert_eq!(far.numbers(), [1, 2]);
}
