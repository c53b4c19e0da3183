//! Where a template is wrong.

use super::*;

/// What is written in our template, what a wrong one says there, the line that is shown, and what is said of it.
const NOT_A_JOB: &[(&str, &str, &str, &str)] = &[
    (
        "kind: Job",
        "kind: Pod",
        "kind: Pod",
        "kind: Job are expected",
    ),
    (
        "apiVersion: batch/v1\n",
        "",
        "kind: Job",
        "apiVersion: batch/v1",
    ),
    (
        "backoffLimit: 0",
        "backoffLimit: none",
        "backoffLimit: none",
        "invalid type",
    ),
    (
        "backoffLimit: 0",
        "backofLimit: 0",
        "backofLimit: 0",
        "there is no field spec.backofLimit",
    ),
    ("cpu: 100m", "cpu: [1]", "cpu: [1]", "invalid type"),
    (
        "completions: 1\n",
        "backoffLimit: 1\n",
        "backoffLimit",
        "duplicate",
    ),
    (
        "- {name: bin, mountPath: /db-operator/bin}",
        "- {name: bin, mountpath: /x, mountPath: /y}",
        "mountpath: /x",
        "volumeMounts[0].mountpath",
    ),
    (
        "            - pg_dump",
        "           - pg_dump",
        "",
        "expected key",
    ),
    (
        "      restartPolicy: Never",
        "      restartPolicy: Never\n---",
        "",
        "more than one document",
    ),
];

#[test]
fn errors_say_the_line() {
    let line_of = |built: Result<Job, JobError>| match built.unwrap_err() {
        JobError::Template(TemplateError::Syntax { line, reason, .. }) => {
            (line, String::new(), reason)
        }
        JobError::Template(other) => panic!("{other}"),
        JobError::NotAJob { line, text, reason }
        | JobError::NotAccepted {
            line, text, reason, ..
        } => (line, text, reason),
    };
    // The line of a template, where the template is wrong.
    let (line, _, reason) = line_of(with(&[("{{json name}}", "{{json nam}}")]));
    assert!(
        line == 6 && reason.contains("unknown name 'nam'"),
        "{line}: {reason}"
    );
    let (line, _, _) = line_of(with(&[("{{json name}}", "{{json name")]));
    assert!((6..=7).contains(&line), "{line}");

    // The line that it became, where that is not a Job.
    for &(old, new, text, says) in NOT_A_JOB {
        let (line, shown, reason) = line_of(with(&[(old, new)]));
        assert!(
            line >= 1 && reason.contains(says) && shown.contains(text),
            "{new}: {line} {shown}: {reason}"
        );
        if !text.is_empty() && text == new {
            let rendered_line = POSTGRESQL.lines().position(|l| l.contains(old)).unwrap();
            // The comment at the top is two lines, and goes.
            assert!(
                rendered_line.abs_diff(line) <= 2,
                "{new}: {line} of {rendered_line}"
            );
        }
    }
    let (line, text, _) = line_of(with(&[(
        "      volumes:\n",
        "      volumes:\n        - name: own\n          hostPath:\n            path: /\n",
    )]));
    assert!(line > 10 && text == "hostPath:", "{line}: {text}");
    line_of(with(&[(
        "apiVersion: batch/v1\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    )]));
}

#[test]
fn nothing_of_yaml_is_left_to_chance() {
    // A field with nothing below is as good as not written, and numbers may be numbers.
    with(&[(
        "      enableServiceLinks: false\n",
        "      nodeSelector:\n      tolerations:\n",
    )])
    .unwrap();
    with(&[("cpu: 100m", "cpu: 0.1")]).unwrap();
    with(&[("cpu: 100m", "cpu: 1")]).unwrap();
}
