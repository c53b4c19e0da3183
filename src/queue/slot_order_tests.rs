//! Who is served, and that no one waits forever.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    overall: 10,
    per_instance: 2,
};

fn candidate(uid: &str, namespace: &str, instance: &str, second: i64, active: bool) -> Candidate {
    Candidate {
        uid: uid.to_owned(),
        namespace: namespace.to_owned(),
        instance: instance.to_owned(),
        created: Some(Timestamp::from_second(second).unwrap()),
        name: uid.to_owned(),
        active,
    }
}

fn waits(uid: &str, namespace: &str, instance: &str, second: i64) -> Candidate {
    candidate(uid, namespace, instance, second, false)
}

fn runs(uid: &str, namespace: &str, instance: &str) -> Candidate {
    candidate(uid, namespace, instance, 0, true)
}

/// Who gets a slot now, by UID.
fn served(candidates: &[Candidate], neighbours: &Neighbours, before: &Served) -> Vec<String> {
    let mut all: Vec<_> = candidates
        .iter()
        .filter(|c| has_slot(&c.uid, candidates, LIMITS, neighbours, before))
        .map(|c| c.uid.clone())
        .collect();
    all.sort();
    all
}

fn alone(candidates: &[Candidate]) -> Vec<String> {
    served(candidates, &Neighbours::default(), &Served::new())
}

#[test]
fn one_namespace_by_itself_has_all_slots_by_age() {
    let mut all = vec![
        waits("c", "team", "one", 3),
        waits("b", "team", "one", 2),
        waits("a", "team", "one", 1),
        waits("d", "team", "two", 4),
    ];
    assert_eq!(alone(&all), ["a", "b", "d"]);
    all.push(runs("r", "team", "one"));
    assert_eq!(alone(&all), ["a", "d"]);
    all.push(runs("s", "team", "one"));
    // Those of a full instance hold up nobody elsewhere.
    assert_eq!(alone(&all), ["d"]);
}

#[test]
fn the_last_slot_of_a_shared_instance_is_kept_for_others() {
    let mut shared = Neighbours::default();
    shared.add("one", "team");
    shared.add("one", "team");
    let now = |all: &[Candidate], shared: &Neighbours| served(all, shared, &Served::new());
    let mut all = vec![runs("r", "team", "one"), waits("a", "team", "one", 1)];
    assert_eq!(now(&all, &shared), ["a"]);
    shared.add("one", "other");
    assert_eq!(now(&all, &shared), [""; 0]);
    // The other one gets it, though it came later; so does one that nobody knew.
    all.push(waits("b", "other", "one", 9));
    assert_eq!(now(&all, &shared), ["b"]);
    all.push(waits("c", "third", "one", 5));
    assert_eq!(now(&all, &shared), ["c"]);
}

#[test]
fn those_that_wait_beside_each_other_share_an_instance() {
    let all = [
        waits("a", "team", "one", 1),
        waits("b", "team", "one", 2),
        waits("c", "other", "one", 3),
    ];
    assert_eq!(alone(&all), ["a", "c"]);
}

#[test]
fn the_namespace_with_the_fewest_is_first_and_then_the_one_served_longest_ago() {
    let all = [
        runs("r1", "busy", "one"),
        runs("r2", "busy", "two"),
        runs("r3", "busy", "three"),
        runs("r4", "busy", "four"),
        runs("r5", "some", "five"),
        runs("r6", "other", "six"),
        runs("r7", "seventh", "seven"),
        runs("r8", "eighth", "eight"),
        runs("r9", "ninth", "nine"),
        waits("a", "busy", "ten", 1),
        waits("b", "some", "ten", 2),
        waits("c", "new", "ten", 3),
    ];
    // One is left, and it is kept for a namespace that has none.
    assert_eq!(alone(&all), ["c"]);

    let two = [waits("a", "x", "one", 1), waits("b", "y", "one", 2)];
    let one = Limits {
        overall: 1,
        per_instance: 1,
    };
    let has = |uid, before: &Served| has_slot(uid, &two, one, &Neighbours::default(), before);
    assert!(has("a", &Served::new()));
    let before = Served::from([("x".to_owned(), 1)]);
    assert!(has("b", &before) && !has("a", &before));
    let before = Served::from([("x".to_owned(), 1), ("y".to_owned(), 2)]);
    assert!(has("a", &before) && !has("b", &before));
}

#[test]
fn a_flood_of_one_namespace_leaves_half_of_all_slots() {
    let flood: Vec<_> = (0..200)
        .map(|n| waits(&format!("{n:03}"), "flood", &format!("i{n}"), n))
        .collect();
    let mut quiet = Neighbours::default();
    quiet.add("i0", "quiet");
    assert_eq!(served(&flood, &quiet, &Served::new()).len(), 5);
}

/// A world in which backups come, run for some rounds, and go.
#[derive(Clone, Debug)]
struct Arrival {
    round: usize,
    namespace: usize,
    instance: usize,
    lasts: usize,
}

fn arrivals() -> impl Strategy<Value = (usize, usize, Vec<Arrival>)> {
    let arrival = (0..40_usize, 0..5_usize, 0..3_usize, 1..12_usize).prop_map(
        |(round, namespace, instance, lasts)| Arrival {
            round,
            namespace,
            instance,
            lasts,
        },
    );
    (
        1..12_usize,
        1..6_usize,
        prop::collection::vec(arrival, 1..60),
    )
}

proptest! {
    /// Within the limits, and everybody is served in the end.
    #[test]
    fn nobody_starves((overall, per_instance, arrivals) in arrivals()) {
        let limits = Limits { overall, per_instance };
        let mut served = Served::new();
        let mut ends: HashMap<String, usize> = HashMap::new();
        let mut all: Vec<Candidate> = Vec::new();
        let mut count = 0;
        for round in 0..2_000 {
            all.retain(|c| !c.active || ends[&c.uid] > round);
            for (number, arrival) in arrivals.iter().enumerate().filter(|(_, a)| a.round == round) {
                let namespace = format!("n{}", arrival.namespace);
                let instance = format!("i{}", arrival.instance);
                all.push(waits(&number.to_string(), &namespace, &instance, i64::try_from(round).unwrap()));
            }
            loop {
                let waiting: Vec<_> = all.iter().filter(|c| !c.active).map(|c| c.uid.clone()).collect();
                let next = waiting.iter().find(|uid| has_slot(uid, &all, limits, &Neighbours::default(), &served));
                let Some(next) = next else { break };
                let at = all.iter().position(|c| c.uid == *next).unwrap();
                all[at].active = true;
                count += 1;
                served.insert(all[at].namespace.clone(), count);
                let number: usize = next.parse().unwrap();
                ends.insert(next.clone(), round + arrivals[number].lasts);
            }
            let running = |instance: &str| all.iter().filter(|c| c.active && c.instance == instance).count();
            prop_assert!(all.iter().filter(|c| c.active).count() <= overall);
            for instance in ["i0", "i1", "i2"] {
                prop_assert!(running(instance) <= per_instance);
            }
        }
        prop_assert!(all.is_empty(), "{all:?}");
    }

    /// Whatever one namespace asks for, another one begins at once on an instance that has two slots or more.
    #[test]
    fn a_flood_never_keeps_a_bystander_waiting(
        overall in 2..20_usize,
        per_instance in 2..6_usize,
        flood in prop::collection::vec(0..4_usize, 1..80),
        instance in 0..4_usize,
    ) {
        let limits = Limits { overall, per_instance };
        let mut quiet = Neighbours::default();
        for instance in 0..4 {
            quiet.add(&format!("i{instance}"), "quiet");
        }
        let mut all: Vec<_> = flood
            .iter()
            .enumerate()
            .map(|(n, at)| waits(&format!("f{n}"), "flood", &format!("i{at}"), 0))
            .collect();
        let mut served = Served::new();
        // They run for ever.
        while let Some(at) = all.iter().position(|c| has_slot(&c.uid, &all, limits, &quiet, &served)) {
            all[at].active = true;
            served.insert("flood".to_owned(), 1);
        }
        all.push(waits("quiet", "quiet", &format!("i{instance}"), 9));
        prop_assert!(has_slot("quiet", &all, limits, &quiet, &served));
    }
}
