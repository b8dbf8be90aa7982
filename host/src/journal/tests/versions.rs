use super::*;

const VERSION_1: &str = include_str!("version-1.sql");

#[test]
fn a_journal_of_version_1_is_taken_over_whole() {
    let place = place();
    place.sql(VERSION_1);
    let before = Reader::open(&place.path).unwrap();
    let (chain_id, head, _) = before.ends().unwrap();
    assert_eq!(before.verify().unwrap().findings, [], "a command reads it as it is");
    drop(before);
    let mut store = place.store();
    assert_eq!(store.head().unwrap(), (chain_id, head.clone()));
    assert_eq!(store.verify().unwrap().unwrap(), head);
    assert_eq!(head.seq, 5);
    let unfinished = store.unfinished().unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(&*unfinished[0].alert.body, r#"{"rule":"unfinished"}"#);
    assert_eq!(store.parcels("graylog", 10).unwrap().len(), 3);
    assert_eq!(ok(&mut store, vec![accept("again", Some("00000000-0000-4000-8000-000000000001"))]).duplicates, 1);
    // And what is new works on it.
    ok(&mut store, vec![entry(1), Write::Due { entry_id: "entry-1".into(), by: place.ambient.now() }]);
    assert_eq!(store.verify().unwrap().unwrap().seq, 6);
}

#[test]
fn what_becomes_of_an_old_file_is_what_a_new_one_is() {
    let tables = |place: &Place| {
        let connection = rusqlite::Connection::open(&place.path).unwrap();
        let mut statement =
            connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<Vec<(String, String, Option<String>)>, _>>();
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        (rows.unwrap(), version)
    };
    let (old, new) = (place(), place());
    old.sql(VERSION_1);
    drop(old.store());
    drop(new.store());
    assert_eq!(tables(&old), tables(&new));
    assert_eq!(tables(&old).1, schema::VERSION);
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let place = place();
    place.sql(VERSION_1);
    place.sql("CREATE TABLE due (theirs INTEGER)");
    assert!(Store::open(&place.path, &place.ambient).is_err());
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    assert!(connection.prepare("SELECT pruned_seq FROM meta").is_err(), "half of a migration is none");
}

#[test]
fn the_configuration_of_version_3_is_taken_over() {
    let place = place();
    place.sql(VERSION_1);
    schema::MIGRATIONS[..2].iter().for_each(|migration| place.sql(migration));
    place.sql("PRAGMA user_version = 3; UPDATE meta SET configuration = 'was in force'");
    drop(place.store());
    assert_eq!(in_force(&place), "was in force");
}

#[test]
fn what_every_commit_writes_is_small_however_large_the_configuration_is() {
    let place = place();
    let mut store = place.store();
    let large = "a rule ".repeat(100_000);
    for configuration in ["small", &large] {
        ok(&mut store, vec![Write::Configure { in_force: configuration.to_owned() }]);
        assert_eq!(in_force(&place), configuration);
    }
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let columns = "SELECT group_concat('ifnull(length(' || name || '), 0)', ' + ') FROM pragma_table_info('meta')";
    let columns: String = connection.query_row(columns, [], |row| row.get(0)).unwrap();
    let bytes: i64 = connection.query_row(&format!("SELECT {columns} FROM meta"), [], |row| row.get(0)).unwrap();
    assert!((64..1024).contains(&bytes), "{bytes}");
}

fn in_force(place: &Place) -> String {
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    connection.query_row("SELECT in_force FROM configuration", [], |row| row.get(0)).unwrap()
}
