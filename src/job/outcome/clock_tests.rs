//! What is waited for, and for how long.

use super::*;

#[test]
fn an_image_that_cannot_be_pulled_is_waited_for_a_while() {
    let waits = |reason: &str| json!({"waiting": {"reason": reason, "message": "not found\nx"}});
    let initializing = waits("PodInitializing");
    for (reason, age, expected) in [
        (
            "ImagePullBackOff",
            100,
            Some(BackupReason::ImageUnavailable),
        ),
        ("ErrImagePull", 100, Some(BackupReason::ImageUnavailable)),
        ("ErrImagePull", 59, None),
        ("InvalidImageName", 0, Some(BackupReason::ImageUnavailable)),
        ("ErrImageNeverPull", 0, Some(BackupReason::ImageUnavailable)),
        (
            "CreateContainerConfigError",
            100,
            Some(BackupReason::JobRefused),
        ),
        ("ContainerCreating", 100, None),
    ] {
        for mut pod in [
            begins(&waits(reason), &initializing),
            begins(&json!({"terminated": {"exitCode": 0}}), &waits(reason)),
        ] {
            pod.metadata.creation_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(NOW - age)),
            );
            let job = job(&json!({}));
            match (decide(&seen(Some(&job), Some(&pod))), expected) {
                (JobOutcome::Failed(failure), Some(expected)) => {
                    assert_eq!(failure.reason, expected);
                    assert!(
                        failure.message.ends_with(": not found"),
                        "{}",
                        failure.message
                    );
                }
                (JobOutcome::Waits(message), None) => {
                    assert!(message.contains(reason), "{message}");
                }
                other => panic!("{reason} {age}: {other:?}"),
            }
        }
    }
}

#[test]
fn only_time_that_a_container_could_begin_in_is_held_against_its_image() {
    let waits = |reason: &str| json!({"waiting": {"reason": reason, "message": "not found"}});
    let job = job(&json!({}));
    // All of them were created a hundred seconds ago.
    let placed = |pod, since| with_true(pod, "PodScheduled", since);
    let first = || begins(&waits("ErrImagePull"), &waits("PodInitializing"));
    let second = || {
        begins(
            &json!({"terminated": {"exitCode": 0}}),
            &waits("ErrImagePull"),
        )
    };
    let initialized = |pod, since| with_true(pod, "Initialized", since);
    for (pod, fails) in [
        (placed(first(), NOW - 59), false),
        (placed(first(), NOW - 60), true),
        (placed(second(), NOW - 59), false),
        (initialized(placed(second(), NOW - 90), NOW - 59), false),
        (initialized(placed(second(), NOW - 90), NOW - 60), true),
    ] {
        let outcome = decide(&seen(Some(&job), Some(&pod)));
        assert_eq!(
            matches!(outcome, JobOutcome::Failed(_)),
            fails,
            "{outcome:?} {pod:?}"
        );
    }
}

#[test]
fn what_failed_by_itself_is_waited_for_longer_than_what_was_refused() {
    let of_age = |age: i64| job(&json!({"metadata": {"creationTimestamp": at(NOW - age)}}));
    for (said, age, fails) in [
        ("exceeded quota", 15, true),
        ("Internal error occurred: failed calling webhook", 15, false),
        ("Internal error occurred: failed calling webhook", 89, false),
        ("Internal error occurred: failed calling webhook", 90, true),
    ] {
        let job = of_age(age);
        let outcome = decide(&Observation {
            refused: Some(said),
            ..seen(Some(&job), None)
        });
        assert_eq!(
            matches!(outcome, JobOutcome::Failed(_)),
            fails,
            "{said} {age}: {outcome:?}"
        );
    }
}

#[test]
fn what_the_pod_of_an_ended_job_says_is_waited_for_a_moment() {
    let ended = |type_: &str, since: i64| {
        let condition = json!({"type": type_, "status": "True", "reason": "R", "message": "why",
            "lastTransitionTime": at(since)});
        job(&json!({"status": {"conditions": [condition]}}))
    };
    let behind = running(NOW - 4000);
    for type_ in ["Complete", "Failed"] {
        for pod in [None, Some(&behind)] {
            // After a restart, with an advance of long ago: neither a stall nor an old Event counts.
            let evidence = |job| Observation {
                last_advance: Some(at(NOW - 3900)),
                refused: Some("exceeded quota"),
                ..seen(Some(job), pod)
            };
            let (young, old) = (ended(type_, NOW - 9), ended(type_, NOW - 10));
            let outcome = decide(&evidence(&young));
            assert!(matches!(outcome, JobOutcome::Waits(_)), "{outcome:?}");
            let told = failure(&evidence(&old));
            assert_eq!(told.reason, BackupReason::Killed);
            assert!(told.message.ends_with("why"), "{}", told.message);
        }
    }
    // Its pod was heard of in time.
    let (job, pod) = (ended("Complete", NOW), self::ended(0, "Completed", &done()));
    let outcome = decide(&seen(Some(&job), Some(&pod)));
    assert!(matches!(outcome, JobOutcome::Done(_)), "{outcome:?}");
}

#[test]
fn a_pod_that_may_not_be_created_is_waited_for_a_while() {
    let said = Some("exceeded quota");
    let (young, old) = (
        job(&json!({"metadata": {"creationTimestamp": at(NOW - 5)}})),
        job(&json!({})),
    );
    let told = failure(&Observation {
        refused: said,
        ..seen(Some(&old), None)
    });
    assert_eq!(told.reason, BackupReason::JobRefused);
    assert!(told.message.ends_with("exceeded quota"));
    let waits = decide(&Observation {
        refused: said,
        ..seen(Some(&young), None)
    });
    assert!(matches!(&waits, JobOutcome::Waits(message) if message.ends_with("exceeded quota")));
    assert!(matches!(
        decide(&seen(Some(&old), None)),
        JobOutcome::Waits(_)
    ));
    // A pod came after all.
    let pod = running(NOW - 50);
    assert_eq!(
        decide(&Observation {
            refused: said,
            ..seen(Some(&old), Some(&pod))
        }),
        JobOutcome::Runs
    );
}

#[test]
fn a_deadline_is_kept_by_the_job_or_by_our_clock() {
    let (job, pod) = (job(&json!({})), running(NOW - 99));
    let after = |seconds| Observation {
        limits: limits(seconds, 600),
        ..seen(Some(&job), Some(&pod))
    };
    assert_eq!(failure(&after(60)).reason, BackupReason::DeadlineExceeded);
    assert_eq!(decide(&after(101)), JobOutcome::Runs);
    let job = self::job(&json!({"status": {"conditions": [
        {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}}));
    assert_eq!(
        failure(&seen(Some(&job), None)).reason,
        BackupReason::DeadlineExceeded
    );
    let job = self::job(&json!({"status": {"conditions": [
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "b"}]}}));
    assert_eq!(
        failure(&seen(Some(&job), None)).reason,
        BackupReason::Killed
    );
}

#[test]
fn a_stall_is_measured_from_the_last_advance_and_never_from_before_the_start() {
    let job = job(&json!({"metadata": {"creationTimestamp": at(NOW - 5000)}}));
    let with = |pod, last_advance: Option<i64>| Observation {
        last_advance: last_advance.map(at),
        started_at: at(NOW - 5001),
        ..seen(Some(&job), pod)
    };
    let (old, young) = (running(NOW - 4000), running(NOW - 500));
    assert_eq!(
        failure(&with(Some(&old), None)).reason,
        BackupReason::NoProgress
    );
    assert_eq!(
        failure(&with(Some(&old), Some(NOW - 661))).reason,
        BackupReason::NoProgress
    );
    for (pod, last) in [
        (&old, Some(NOW - 659)),
        (&young, None),
        (&young, Some(NOW - 3000)),
    ] {
        assert_eq!(decide(&with(Some(pod), last)), JobOutcome::Runs);
    }
    // A pod for which there is no node is no progress, too, and says why.
    let nowhere = with_condition(
        pod(&json!({"phase": "Pending"})),
        "PodScheduled",
        "False",
        "0/1 nodes",
    );
    let told = failure(&with(Some(&nowhere), None));
    assert_eq!(told.reason, BackupReason::NoProgress);
    assert!(told.message.contains("0/1 nodes"));
}

#[test]
fn no_progress_seen_is_not_no_progress() {
    let job = job(&json!({"metadata": {"creationTimestamp": at(NOW - 5000)}}));
    let pod = running(NOW - 4000);
    let with = |looked_at: Option<i64>, last_advance: Option<i64>| {
        decide(&Observation {
            looked_at: looked_at.map(at),
            last_advance: last_advance.map(at),
            started_at: at(NOW - 5001),
            ..seen(Some(&job), Some(&pod))
        })
    };
    // Never seen; and by the store only, whose parts may be large.
    assert_eq!(with(None, None), JobOutcome::Runs);
    assert_eq!(with(None, Some(NOW - 3000)), JobOutcome::Runs);
    // A log that cannot be read any more: what was seen before is no standstill since.
    assert_eq!(with(Some(NOW - 2500), Some(NOW - 3000)), JobOutcome::Runs);
    let stalled = with(Some(NOW - 2000), Some(NOW - 3000));
    assert!(matches!(stalled, JobOutcome::Failed(_)), "{stalled:?}");
}

#[test]
fn a_part_has_five_minutes_to_be_signed_whatever_the_stall() {
    let job = job(&json!({"metadata": {"creationTimestamp": at(NOW - 5000)}}));
    let pod = running(NOW - 4000);
    for (age, fails) in [(360, false), (361, true)] {
        let outcome = decide(&Observation {
            limits: limits(21_600, 30),
            last_advance: Some(at(NOW - age)),
            started_at: at(NOW - 5001),
            ..seen(Some(&job), Some(&pod))
        });
        assert_eq!(
            matches!(outcome, JobOutcome::Failed(_)),
            fails,
            "{age}: {outcome:?}"
        );
    }
}

#[test]
fn a_pod_whose_node_is_lost_is_not_waited_for_until_the_deadline() {
    let job = job(&json!({}));
    let to_end_by = |second| {
        let mut pod = running(NOW - 90);
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(second));
        pod.metadata.deletion_timestamp = Some(time);
        pod
    };
    // Its log cannot be read either.
    let blind = |pod| Observation {
        looked_at: None,
        ..seen(Some(&job), Some(pod))
    };
    let (ends, lost) = (to_end_by(NOW - 60), to_end_by(NOW - 61));
    assert_eq!(decide(&blind(&ends)), JobOutcome::Runs);
    assert_eq!(failure(&blind(&lost)).reason, BackupReason::Killed);
    let drained = with_condition(lost.clone(), "DisruptionTarget", "True", "unreachable");
    let told = failure(&blind(&drained));
    assert_eq!(told.reason, BackupReason::Evicted);
    assert!(told.message.contains("unreachable"));
}
