use super::*;

#[tokio::test]
async fn an_entry_is_late_until_it_is_annotated_and_told_of_once() {
    let place = place();
    let journal = place.journal();
    let now = place.ambient.now();
    let by = |minutes| now + jiff::SignedDuration::from_mins(minutes);
    for (number, minutes) in [(1, 10), (2, 20), (3, 30)] {
        let entry_id = format!("entry-{number}");
        journal.commit(vec![entry(number), Write::Due { entry_id, by: by(minutes) }]).await.unwrap();
    }
    assert_eq!(journal.overdue(by(10), 9).await.unwrap(), (vec![], 0), "not before its time has passed");
    let (late, count) = journal.overdue(by(25), 1).await.unwrap();
    assert_eq!((late, count), (vec![Due { entry_id: "entry-1".into(), by: by(10) }], 2));
    journal.commit(vec![send(1), Write::Reminded { entry_id: "entry-1".into() }]).await.unwrap();
    let (late, count) = journal.overdue(by(25), 9).await.unwrap();
    assert_eq!((late[0].entry_id.as_str(), late.len(), count), ("entry-2", 1, 2), "told of, and late all the same");
    let annotation = |number: usize| {
        record(LogType::Annotation, "event", Some(&format!("entry-{number}")), json!({"annotation": "known"}))
    };
    journal.commit(vec![annotation(1), annotation(2)]).await.unwrap();
    assert_eq!(journal.overdue(by(25), 9).await.unwrap(), (vec![], 0));
    assert_eq!(journal.overdue(by(31), 9).await.unwrap().1, 1);
    assert_eq!(journal.entry("entry-3").await.unwrap().unwrap()["number"], 3);
    assert_eq!(journal.entry("entry-4").await.unwrap(), None);
}
