use super::*;

fn tenant(name: &str) -> Arc<str> {
    Arc::from(name)
}

fn next(
    line: &mut Line<&'static str, u32>,
    fit: impl Fn(&Arc<str>, &&'static str) -> Fit,
) -> Option<u32> {
    let pick = line.pick(fit)?;
    line.take(pick).map(|(_, _, who)| who)
}

/// Everybody in their order, while there is a slot for anybody.
fn drain(line: &mut Line<&'static str, u32>) -> Vec<u32> {
    std::iter::from_fn(|| next(line, |_, _| Fit::Now)).collect()
}

#[test]
fn turns_go_round_the_tenants_and_within_one_the_first_is_first() {
    let mut line = Line::default();
    for who in 0..4 {
        line.push(&tenant("flood"), "x", false, who);
    }
    line.push(&tenant("a"), "x", false, 10);
    line.push(&tenant("b"), "y", false, 20);
    line.push(&tenant("a"), "y", false, 11);
    assert_eq!(drain(&mut line), [0, 10, 20, 1, 11, 2, 3]);
    assert!(line.tenants.is_empty());
}

#[test]
fn what_is_urgent_is_first_within_its_tenant_alone() {
    let mut line = Line::default();
    line.push(&tenant("a"), "x", false, 0);
    line.push(&tenant("a"), "y", true, 1);
    line.push(&tenant("b"), "x", false, 2);
    line.push(&tenant("b"), "x", true, 3);
    assert_eq!(drain(&mut line), [1, 3, 0, 2]);
}

#[test]
fn who_has_its_share_is_passed_over_and_stays_in_front() {
    let mut line = Line::default();
    line.push(&tenant("a"), "x", false, 0);
    line.push(&tenant("b"), "x", false, 1);
    line.push(&tenant("b"), "x", false, 2);
    let barred = |tenant: &Arc<str>, _: &&str| {
        if &**tenant == "a" {
            Fit::Barred
        } else {
            Fit::Now
        }
    };
    assert_eq!(next(&mut line, barred), Some(1));
    assert_eq!(next(&mut line, |_, _| Fit::Now), Some(0));
    assert_eq!(next(&mut line, barred), Some(2));
    assert!(next(&mut line, barred).is_none());
}

#[test]
fn who_left_is_not_called() {
    let mut line = Line::default();
    let first = line.push(&tenant("a"), "x", false, 0);
    line.push(&tenant("a"), "x", false, 1);
    assert_eq!(line.remove("a", first), Some(0));
    assert_eq!(line.remove("a", first), None);
    assert_eq!(drain(&mut line), [1]);
    assert!(!line.others_wait("b", |_| true));
}

#[test]
fn others_do_not_go_first_for_ever() {
    let mut line = Line::default();
    line.push(&tenant("both"), "both", false, 0);
    let fit = |_: &Arc<str>, wants: &&str| {
        if *wants == "both" {
            Fit::Full
        } else {
            Fit::Now
        }
    };
    for who in 1..=PATIENCE {
        line.push(&tenant("one"), "one", false, who);
        assert_eq!(next(&mut line, fit), Some(who));
    }
    line.push(&tenant("one"), "one", false, 99);
    assert!(next(&mut line, fit).is_none(), "it waits for a slot by now");
    assert_eq!(drain(&mut line), [0, 99]);
}
