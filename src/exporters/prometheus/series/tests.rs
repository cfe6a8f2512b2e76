use super::*;
use crate::exporters::prometheus::labels::Constant;

const ZERO: Value = Value::Number(0.0);
const NOW: Stamp = Stamp { created: Timestamp(1), seen: 0 };

fn labels(value: &str) -> LabelSet {
    LabelSet::of(&[("a", value)], &Constant::default())
}

fn name(base: &str) -> Name {
    Name { base: base.into(), unit: "".into(), total: true }
}

#[test]
fn a_name_belongs_to_one_family() {
    let mut store = Store::new(100, 100);
    let first = store.family(&name("requests"), Kind::Counter, "").unwrap();
    assert_eq!(store.family(&name("requests"), Kind::Counter, "other help"), Ok(first));
    assert_eq!(store.family(&name("requests"), Kind::Gauge, ""), Err(Dropped::Conflict));
    assert_eq!(store.family(&name("requests_total"), Kind::Gauge, ""), Err(Dropped::Conflict));
    assert_eq!(store.family(&name("requests_created"), Kind::Gauge, ""), Err(Dropped::Conflict));
    store.family(&name("size_count"), Kind::Gauge, "").unwrap();
    assert_eq!(store.family(&name("size"), Kind::Histogram, ""), Err(Dropped::Conflict));
    store.family(&name("a.b"), Kind::Gauge, "").unwrap();
    assert_eq!(store.family(&name("a_b"), Kind::Gauge, ""), Err(Dropped::Conflict), "they meet where a scraper wants no dots");
    store.family(&name("9x"), Kind::Gauge, "").unwrap();
    assert_eq!(store.family(&name("_x"), Kind::Gauge, ""), Err(Dropped::Conflict));
}

#[test]
fn no_point_comes_into_a_family_of_the_exporter() {
    let mut store = Store::new(100, 100);
    store.claim(&Naming::default(), ("function_invocations", ""), Kind::Counter, "");
    assert_eq!(store.family(&name("function_invocations"), Kind::Counter, ""), Err(Dropped::Conflict));
}

#[test]
fn what_finds_no_room_goes_to_the_overflow_series() {
    for mut store in [Store::new(2, 100), Store::new(100, 2)] {
        let family = store.family(&name("requests"), Kind::Counter, "").unwrap();
        let first = store.place(family, &labels("1"), &ZERO, NOW);
        store.place(family, &labels("2"), &ZERO, NOW);
        let third = store.place(family, &labels("3"), &ZERO, NOW);
        assert!(third.overflow && !first.overflow);
        assert_eq!(store.place(family, &labels("4"), &ZERO, NOW), third);
        assert_eq!(store.place(family, &labels("1"), &ZERO, NOW), first);
        assert_eq!(store.exposed(), 3);
    }
}

#[test]
fn a_full_metric_leaves_room_for_the_others() {
    let mut store = Store::new(100, 2);
    for metric in ["one", "two"] {
        let family = store.family(&name(metric), Kind::Counter, "").unwrap();
        let overflown = (0..3).map(|n| store.place(family, &labels(&n.to_string()), &ZERO, NOW).overflow);
        assert_eq!(overflown.collect::<Vec<_>>(), [false, false, true]);
    }
}

#[test]
fn a_series_ends_with_its_last_stream_and_its_place_is_used_again() {
    let mut store = Store::new(1, 1);
    let family = store.family(&name("requests"), Kind::Counter, "").unwrap();
    let old = store.place(family, &labels("1"), &ZERO, NOW).id;
    store.attach(old);
    store.attach(old);
    store.detach(old);
    assert!(store.is_alive(old));
    store.detach(old);
    assert!(!store.is_alive(old));
    let family = store.family(&name("other"), Kind::Gauge, "").unwrap();
    let new = store.place(family, &labels("2"), &ZERO, NOW);
    assert!(!new.overflow && store.is_alive(new.id) && !store.is_alive(old));
    assert_eq!((store.exposed(), store.by_name.len(), store.families.len()), (1, 1, 1));
}

#[test]
fn what_nothing_feeds_expires_by_its_age() {
    let mut store = Store::new(100, 100);
    let family = store.family(&name("requests"), Kind::Counter, "").unwrap();
    let own = store.claim(&Naming::default(), ("function_errors", ""), Kind::Counter, "");
    let [idle, busy, fed] = ["1", "2", "3"].map(|value| store.place(family, &labels(value), &ZERO, NOW).id);
    let rare = store.place(own, &labels("1"), &ZERO, NOW).id;
    store.attach(fed);
    store.add(busy, 1.0, 60);
    assert_eq!(store.expire(Some(30), None), 1);
    let alive = [idle, busy, fed, rare].map(|id| store.is_alive(id));
    assert_eq!(alive, [false, true, true, true]);
    assert_eq!(store.expire(None, Some(30)), 1);
    assert!(!store.is_alive(rare));
}
