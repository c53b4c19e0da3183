use super::*;
use crate::agent::meter::Meter;

async fn heard(flavour: Flavour, text: &[u8], meter: &Meter) -> Said {
    let said = Mutex::default();
    let listener = Listener {
        name: "tool",
        flavour,
        said: &said,
        hears: |line: Line<'_>| meter.hear(line),
    };
    listener.hear(text).await;
    said.into_inner()
}

#[tokio::test]
async fn what_the_tool_does_is_no_message_but_shows_where_it_is() {
    let meter = Meter::new(0);
    let text = "-- Connecting to h...\n-- Retrieving table structure for table a...\n-- Sending SELECT query...\n\
        -- Retrieving table structure for table v...\n-- It's a view, create dummy view\nmysqldump: [Warning] x\u{7}\n";
    let said = heard(Flavour::Mysql, text.as_bytes(), &meter).await;
    assert_eq!(said.last, ["mysqldump: [Warning] x"]);
    assert_eq!(said.warnings, ["x"]);
    assert_eq!(meter.tables.place().unwrap().table(), "v");
}

#[tokio::test]
async fn a_warning_has_its_details_and_there_are_not_too_many() {
    let text = "pg_dump: warning: there are circular foreign-key constraints on this table:\npg_dump: detail: a\n\
        pg_dump: hint: Consider\npg_dump: detail: of something else\n";
    let said = heard(Flavour::Postgresql, text.as_bytes(), &Meter::default()).await;
    assert_eq!(
        said.warnings,
        ["there are circular foreign-key constraints on this table: a"]
    );
    let flood = "pg_dump: warning: x\npg_dump: detail: y\n".repeat(100);
    let said = heard(Flavour::Postgresql, flood.as_bytes(), &Meter::default()).await;
    assert_eq!(said.warnings, vec!["x: y"; WARNINGS]);
}

#[tokio::test]
async fn a_statement_is_not_repeated() {
    let text = "pg_restore: error: could not execute query: ERROR:  no\nCommand was: CREATE USER MAPPING\n\
        \x20 OPTIONS (password 'secret')\n\npg_restore: hint: x\nand more\n";
    let said = heard(Flavour::Postgresql, text.as_bytes(), &Meter::default()).await;
    assert_eq!(
        said.last,
        [
            "pg_restore: error: could not execute query: ERROR:  no",
            "pg_restore: hint: x",
            "and more"
        ]
    );
}

#[tokio::test]
async fn only_the_error_about_an_unknown_setting_is_forgiven() {
    let of = async |text: &str, forgives: bool| {
        let said = Mutex::<Said>::default();
        if forgives {
            said.lock().forgive();
        }
        let listener = Listener {
            name: "tool",
            flavour: Flavour::Postgresql,
            said: &said,
            hears: |_: Line<'_>| {},
        };
        listener.hear(text.as_bytes()).await;
        said.into_inner()
    };
    let setting = "pg_restore: while INITIALIZING:\n\
        pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
        Command was: SET transaction_timeout = 0;\n\npg_restore: creating TABLE \"public.a\"\n";
    let end = "pg_restore: warning: errors ignored on restore: 1\n";
    let all = format!("{setting}{setting}{end}");
    let said = of(&all, true).await;
    assert!(said.is_forgiven(), "{said:?}");
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let said = of(&all, false).await;
    assert!(!said.is_forgiven() && said.error.is_some());
    for (text, what) in [
        (setting.to_owned(), "it ended somewhere"),
        (end.to_owned(), "of what?"),
        (
            format!("{setting}pg_restore: error: no room\n{end}"),
            "another error",
        ),
        (
            setting.replace("transaction_timeout\"", "transaction_timeout\" (x)") + end,
            "another text",
        ),
        (format!("{setting}out of memory\n"), "without a name"),
    ] {
        assert!(!of(&text, true).await.is_forgiven(), "{what}");
    }
}

#[test]
fn a_hint_is_not_what_is_wrong() {
    let mut said = Said::default();
    assert_eq!(said.complaint(), None);
    let lines = [
        "pg_dump: error: no",
        "pg_dump: detail: because",
        "pg_dump: hint: Try \"pg_dump --help\" for more information.",
    ];
    said.last.push_back(lines[2].to_owned());
    let hint = lines[2].strip_prefix("pg_dump: ");
    assert_eq!(said.complaint(), hint);
    said.last = lines.map(str::to_owned).into();
    assert_eq!(said.complaint(), Some("error: no"));
    said.last
        .push_back("password retrieved from file".to_owned());
    assert_eq!(said.complaint(), Some("error: no"));
    said.last = ["pg_dump: unrecognized option", lines[2]]
        .map(str::to_owned)
        .into();
    assert_eq!(said.complaint(), Some("unrecognized option"));
}

#[test]
fn waiting_too_long_for_a_lock_is_distinguished_from_other_failures() {
    let of = |lines: &[&str], flavour| {
        let said = Said {
            last: lines.iter().map(ToString::to_string).collect(),
            ..Said::default()
        };
        said.lock(flavour).map(ToOwned::to_owned)
    };
    let timeout =
        "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout";
    let lock = "pg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE";
    let denied = "pg_dump: error: query failed: ERROR:  permission denied for table orders";
    let postgresql = Flavour::Postgresql;
    assert_eq!(
        of(&[timeout, lock], postgresql).as_deref(),
        lock.strip_prefix("pg_dump: ")
    );
    assert_eq!(of(&[denied, lock], postgresql), None);
    assert_eq!(of(&[timeout], postgresql), None);
    let mysql = "mysqldump: Couldn't execute 'SHOW CREATE TABLE `t`': Lock wait timeout exceeded; try restarting transaction (1205)";
    assert_eq!(
        of(&[mysql], Flavour::Mysql).as_deref(),
        mysql.strip_prefix("mysqldump: ")
    );
    assert_eq!(of(&[mysql], postgresql), None);
}

#[test]
fn a_table_that_was_dropped_before_its_lock_passes() {
    let of = |lines: &[&str], flavour| {
        let said = Said {
            last: lines.iter().map(ToString::to_string).collect(),
            ..Said::default()
        };
        said.is_passing(flavour)
    };
    let gone = "pg_dump: error: query failed: ERROR:  relation \"public.orders\" does not exist";
    let lock = "pg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE";
    let denied = "pg_dump: error: query failed: ERROR:  permission denied for table orders";
    let other = "pg_dump: detail: Query was: SELECT public.f()";
    assert!(of(&[gone, lock], Flavour::Postgresql));
    assert!(!of(&[denied, lock], Flavour::Postgresql));
    assert!(!of(&[gone, other], Flavour::Postgresql));
    assert!(!of(&[gone], Flavour::Postgresql));
    assert!(!of(&[gone, lock], Flavour::Mysql));
}

#[tokio::test]
async fn a_flood_leaves_its_last_lines() {
    let mut text: Vec<u8> = (0..3000)
        .flat_map(|number| format!("line {number} \u{1b}[31m\n").into_bytes())
        .collect();
    text.extend(vec![b'x'; 100_000]);
    let said = heard(Flavour::Postgresql, &text, &Meter::default()).await;
    assert_eq!((said.last.len(), said.count), (KEPT, 3001));
    assert_eq!(said.last[KEPT - 2], "line 2999  [31m");
    assert_eq!(said.last[KEPT - 1].len(), LENGTH);
}
