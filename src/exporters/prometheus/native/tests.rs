use proptest::prelude::*;

use super::*;

fn point(scale: i32, offset: i32, counts: &[u64]) -> OwnedExponential {
    let positive = OwnedBuckets { offset, counts: counts.to_vec() };
    OwnedExponential { count: counts.iter().sum(), sum: Some(1.0), scale, positive, ..OwnedExponential::default() }
}

fn native(scale: i32, offset: i32, counts: &[u64]) -> Native {
    Native::read(&point(scale, offset, counts)).unwrap()
}

#[test]
fn a_point_that_contradicts_itself_is_refused() {
    let check = |change: &dyn Fn(&mut OwnedExponential), sound: bool| {
        let mut point = point(3, -2, &[1, 2]);
        change(&mut point);
        assert_eq!(Native::read(&point).is_some(), sound, "{point:?}");
    };
    check(&|_| {}, true);
    check(&|point| point.count = 4, false);
    check(&|point| point.sum = Some(f64::NAN), true);
    check(&|point| point.zero_threshold = -1.0, false);
    check(&|point| point.scale = -5, false);
    check(&|point| point.scale = 21, false);
    check(&|point| point.positive.offset = i32::MAX, false);
    check(&|point| point.positive.offset = 9_000, false);
    check(&|point| (point.scale, point.positive.offset) = (20, 9_000), true);
    check(&|point| point.zero_count = u64::MAX, false);
}

#[test]
fn a_scale_finer_than_prometheus_has_is_halved() {
    let fine = native(10, 0, &[1, 1, 1, 1, 5]);
    assert_eq!((fine.scale, &fine.positive), (8, &Side { offset: 0, counts: vec![4, 5] }));
}

#[test]
fn the_classic_view_has_at_most_twenty_buckets_and_keeps_every_value() {
    let wide = native(3, -80, &[1; 160]);
    let bounds = wide.cumulative();
    assert!(bounds.len() <= MAX_CLASSIC && bounds.len() > 5, "{bounds:?}");
    assert!(bounds.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert_eq!(bounds.last().unwrap().1, 160);
    assert_eq!(native(0, 0, &[1, 2, 4]).cumulative(), [(2.0, 1), (4.0, 3), (8.0, 7)]);
}

#[test]
fn negative_values_and_zeros_come_first() {
    let mut both = Native::empty(0);
    for value in [-3.0, -1.5, 0.0, 0.0, 3.0] {
        both.observe(value);
    }
    assert_eq!(both.cumulative(), [(-2.0, 1), (-1.0, 2), (0.0, 4), (4.0, 5)]);
    assert_eq!((both.count(), both.sum()), (5, Some(-1.5)));
}

#[test]
fn a_wider_threshold_takes_the_buckets_below_it() {
    let mut sum = native(0, -2, &[3, 4, 5]);
    let mut other = native(0, 3, &[1]);
    other.zero_threshold = 0.4;
    sum.add(&other);
    assert_eq!((sum.zero_threshold, sum.zero_count), (0.5, 3));
    assert_eq!((sum.count(), sum.positive.offset), (13, -1));
}

/// What one value at each end of the doubles would be at the finest scale: half a million buckets, never made.
#[test]
fn values_that_are_far_apart_are_added_at_a_scale_where_they_are_few() {
    let mut sum = native(8, -1_000 * 256, &[1]);
    sum.fit_beside(&mut native(8, 1_000 * 256, &[1]));
    assert!(sum.scale < 0, "{sum:?}");
    sum.add(&native(8, 1_000 * 256, &[1]));
    assert_eq!(sum.count(), 2);
    assert!(sum.positive.counts.len() <= MAX_BUCKETS);
}

proptest! {
    #[test]
    fn adding_keeps_every_value(a in prop::collection::vec(0_u64..9, 0..200), b in prop::collection::vec(0_u64..9, 0..200), scales in (0_i32..=8, 0_i32..=8), offsets in (-60_i32..60, -60_i32..60), thresholds in (0_u8..4, 0_u8..4)) {
        let (mut a, mut b) = (native(scales.0, offsets.0, &a), native(scales.1, offsets.1, &b));
        for (native, threshold) in [(&mut a, thresholds.0), (&mut b, thresholds.1)] {
            native.zero_threshold = f64::from(threshold) * 0.3;
        }
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert_eq!(sum.count(), a.count() + b.count());
        prop_assert!(sum.positive.counts.len() <= MAX_BUCKETS);
        prop_assert!(sum.cumulative().windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        prop_assert_eq!(sum.since(&a).map(|added| added.count()), Some(b.count()));
        prop_assert_eq!(sum.cumulative().last().map_or(0, |(_, count)| *count), sum.count());
    }

    #[test]
    fn a_value_is_within_its_bucket(value in 1e-9_f64..1e9, scale in -4_i32..=8) {
        let index = index_of(value, scale);
        prop_assert!(upper(index - 1, scale) <= value * (1.0 + 1e-12) && value <= upper(index, scale) * (1.0 + 1e-12));
    }
}
