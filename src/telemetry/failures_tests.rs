use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Log {
    state: State,
    began: Instant,
}

impl Log {
    fn new() -> Self {
        let FailureLog(state) = FailureLog::default();
        Self {
            state: state.into_inner(),
            began: Instant::now(),
        }
    }

    fn fails(&mut self, name: &str, text: &str, second: u32) -> Option<Line> {
        let now = self.began + SECOND * second;
        self.state.failed(&key(name), "Timeout", text, now)
    }

    fn works(&mut self, name: &str, second: u32) -> Option<Line> {
        self.state.worked(&key(name), self.began + SECOND * second)
    }
}

fn key(name: &str) -> Key {
    let (namespace, name) = name.split_once('/').unwrap_or(("team", name));
    ("Database", namespace.to_owned(), name.to_owned())
}

#[test]
fn the_same_failure_is_said_ever_more_rarely_and_how_often_it_was() {
    let mut log = Log::new();
    let mut lines = Vec::new();
    for second in 0..3600 {
        let text = format!("it took {second} s");
        lines.extend(
            log.fails("a", &text, second)
                .map(|line| (second / 60, line.times)),
        );
    }
    let minutes: Vec<u32> = lines.iter().map(|(minute, _)| *minute).collect();
    assert_eq!(minutes, [0, 1, 3, 7, 15, 25, 35, 45, 55]);
    assert_eq!(lines[1].1, 61);
}

#[test]
fn another_failure_is_said_but_not_each_time() {
    let mut log = Log::new();
    assert!(log.fails("a", "one", 0).is_some());
    assert!(log.fails("a", "two", 1).is_none());
    assert!(log.fails("a", "two", 10).is_some());
    assert!(log.fails("a", "two", 20).is_none());
    let lines = (21..3600).filter(|second| {
        let text = ["red", "green"][*second as usize % 2];
        log.fails("b", text, *second).is_some()
    });
    assert!(lines.count() <= 3600 / 10);
}

#[test]
fn what_works_again_is_said_once_however_often_it_does() {
    let mut log = Log::new();
    assert_eq!(log.works("a", 0), None);
    assert!(log.fails("a", "why", 1).is_some());
    assert!(log.fails("a", "why", 2).is_none());
    let line = log.works("a", 4).unwrap();
    assert_eq!((line.times, line.since), (2, SECOND * 3));
    assert_eq!(log.works("a", 5), None);
    // To and fro, ten times a second or every other one, is one story.
    let mut lines = 0;
    for second in (6..=60).step_by(2) {
        lines += usize::from(log.fails("a", "why", second).is_some());
        lines += usize::from(log.works("a", second + 1).is_some());
    }
    assert!(lines <= 1, "{lines}");
    // What failed long after is another one.
    assert_eq!(log.fails("a", "why", 1000).unwrap().times, 1);
}

#[test]
fn two_thousand_failing_objects_leave_room_for_others() {
    let mut log = Log::new();
    let mut lines = 0;
    for second in 0..600 {
        for object in 0..2000 {
            let text = format!("flood {second}");
            lines += usize::from(
                log.fails(&format!("flood/{object}"), &text, second)
                    .is_some(),
            );
        }
        if second == 300 {
            assert!(log.fails("bystander", "its own", second).is_some());
        }
    }
    assert!(lines <= 10 + 600 / 6, "{lines}");
    let last = log.fails("flood/new", "why", 700).unwrap();
    assert!(last.others > 1800, "{last:?}");
}

#[test]
fn memory_is_bounded() {
    let mut log = Log::new();
    for object in 0..MOST + 10 {
        let _ = log.fails(&object.to_string(), "why", 0);
    }
    assert_eq!(log.state.objects.len(), MOST);
    for object in 0..MOST {
        let _ = log.works(&object.to_string(), 1);
    }
    let _ = log.fails("next", "why", 1000);
    assert_eq!(log.state.objects.len(), 1);
}
