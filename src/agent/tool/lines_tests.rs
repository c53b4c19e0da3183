use super::*;

#[test]
fn errors_are_distinguished_from_warnings() {
    for line in [
        "mysqldump: Error: 'Access denied; you need (at least one of) the PROCESS privilege(s) for this operation' when trying to dump tablespaces",
        "mysqldump: Couldn't execute 'SHOW FUNCTION STATUS': denied (1227)",
        "mysqldump: Got error: 1449: The user does not exist when using LOCK TABLES",
        "Error: SELECT command denied to user for table 'column_masking_policy'",
        "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `t` at row: 3",
        "mysqldump: Got errno 32 on write",
    ] {
        assert!(is_error(Flavour::Mysql, line), "{line}");
    }
    for line in [
        "mysqldump: [Warning] Using a password on the command line interface can be insecure.",
        "WARNING: option --ssl-verify-server-cert is disabled, because of an insecure passwordless login.",
        "mariadb-dump: Deprecated program name. It will be removed in a future release, use '/usr/bin/mariadb-dump' instead",
        "mysqldump: [Warning] unknown option '--loose-skip-masking-policies'.",
        "Warning: A partial dump from a server that has GTIDs will by default include the GTIDs, error or not",
        "-- Warning: column statistics not supported by the server.",
    ] {
        assert!(!is_error(Flavour::Mysql, line), "{line}");
    }
    let circular = "pg_dump: warning: there are circular foreign-key constraints on this table:";
    assert!(!is_error(Flavour::Postgresql, circular));
    let lost = "pg_dump: error: Dumping the contents of table \"t\" failed: PQgetResult() failed.";
    assert!(is_error(Flavour::Postgresql, lost));
}

#[test]
fn warnings_about_the_dump_are_kept_and_those_about_the_tool_are_not() {
    for (line, says) in [
        (
            "pg_dump: warning: subscriptions not dumped because current user is not a superuser",
            Some("subscriptions not dumped because current user is not a superuser"),
        ),
        ("mysqldump: [Warning] all is well", Some("all is well")),
        ("-- Warning: column statistics", Some("column statistics")),
        ("WARNING: é", Some("é")),
        ("Warnings", None),
        ("é", None),
        (
            "mysqldump: [Warning] Using a password on the command line interface can be insecure.",
            None,
        ),
        (
            "mysqldump: [Warning] unknown option '--loose-skip-masking-policies'.",
            None,
        ),
        ("mariadb-dump: unknown option '--loose-dump-history'", None),
        (
            "WARNING: option --ssl-verify-server-cert is disabled, because of an insecure passwordless login.",
            None,
        ),
        ("pg_dump: error: warning: no", None),
    ] {
        assert_eq!(warning(line), says, "{line}");
    }
    assert_eq!(detail("pg_dump: detail: orders"), Some("orders"));
}

#[test]
fn the_way_of_a_tool_is_told_apart_from_what_it_says() {
    let postgresql = |line| Line::of(Flavour::Postgresql, line);
    let table = "pg_dump: dumping contents of table \"public.quo\"te é\"";
    assert_eq!(postgresql(table), Line::Table("public.quo\"te é"));
    assert_eq!(postgresql("pg_dump: reading schemas"), Line::Chatter);
    for line in [
        "pg_dump: warning: reading",
        "pg_dump: error: x",
        "pg_dump: detail: dumping",
        "reading schemas",
    ] {
        assert_eq!(postgresql(line), Line::Message, "{line}");
    }
    let mysql = |line| Line::of(Flavour::Mariadb, line);
    let table = "-- Retrieving table structure for table or-ders é...";
    assert_eq!(mysql(table), Line::Table("or-ders é"));
    assert_eq!(mysql("-- It's a view, create dummy view"), Line::View);
    assert_eq!(mysql("-- Sending SELECT query..."), Line::Chatter);
    for line in ["-- Warning: x", "-- error: y", "mysqldump: Got error: 1"] {
        assert_eq!(mysql(line), Line::Message, "{line}");
    }
}

/// What the real tools say, of servers that are what the comment says.
#[test]
fn what_passes_is_told_apart_from_what_stays() {
    let mysql = [
        (
            "mysqldump: Error 1412: Table definition has changed, please retry transaction when dumping table `t` at row: 0",
            true,
        ),
        (
            "mysqldump: Error in field count for table: `z` !  Aborting.",
            true,
        ),
        (
            "mysqldump: Got error: 1040: Too many connections when trying to connect",
            true,
        ),
        (
            "mariadb-dump: Got error: 1226: \"User 'u' has exceeded the 'max_user_connections' resource (current value: 1)\" when trying to connect",
            true,
        ),
        (
            "mariadb-dump: Got error: 1226: \"User 'u' has exceeded the 'max_queries_per_hour' resource (current value: 1)\" when trying to connect",
            false,
        ),
        (
            "mariadb-dump: Got error: 2002: \"Can't connect to server on '127.0.0.1' (115)\" when trying to connect",
            true,
        ),
        (
            "mysqldump: Couldn't execute 'show create table `t`': Table 'd.t' doesn't exist (1146)",
            true,
        ),
        (
            "mysqldump: Got error: 1045: Access denied for user 'u'@'127.0.0.1' (using password: YES) when trying to connect",
            false,
        ),
        (
            "mysqldump: Couldn't execute 'SHOW FUNCTION STATUS': denied (1227)",
            false,
        ),
        ("-- Retrieving rows (1412)...", false),
    ];
    for (line, passes) in mysql {
        assert_eq!(is_passing(Flavour::Mysql, line), passes, "{line}");
    }
    let postgresql = [
        (
            "pg_dump: error: connection to server at \"h\" (::1), port 1 failed: FATAL:  too many connections for role \"u\"",
            true,
        ),
        (
            "pg_dump: error: connection to server at \"h\" (::1), port 1 failed: FATAL:  sorry, too many clients already",
            true,
        ),
        (
            "pg_dump: error: connection to server at \"h\" (::1), port 1 failed: FATAL:  the database system is starting up",
            true,
        ),
        (
            "pg_dump: error: query failed: ERROR:  could not open relation with OID 16391",
            true,
        ),
        (
            "pg_dump: error: connection to server at \"h\" (::1), port 1 failed: FATAL:  password authentication failed for user \"u\"",
            false,
        ),
        (
            "pg_dump: error: query failed: ERROR:  permission denied for table t",
            false,
        ),
    ];
    for (line, passes) in postgresql {
        assert_eq!(is_passing(Flavour::Postgresql, line), passes, "{line}");
    }
}

#[test]
fn a_broken_view_is_named() {
    let invalid = "references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them";
    let line = format!(
        "mariadb-dump: Couldn't execute 'SHOW FIELDS FROM `v_go``ne`': View 'app.v_go`ne' {invalid} (1356)"
    );
    assert_eq!(broken_view(&line).as_deref(), Some("v_go`ne"));
    for line in [
        format!(
            "mysqldump: Couldn't execute 'SHOW FIELDS FROM `v`': View 'app.v' {invalid} (1142)"
        ),
        format!("mysqldump: Couldn't execute 'SHOW FIELDS FROM `v': View 'app.v' {invalid} (1356)"),
        format!("mysqldump: Couldn't execute 'show create table `v`': {invalid} (1356)"),
    ] {
        assert_eq!(broken_view(&line), None, "{line}");
    }
}

#[test]
fn a_table_whose_history_cannot_be_read_is_named() {
    let line =
        "mariadb-dump: Cannot use --dump-history for table `hi` with transaction-precise history";
    assert_eq!(history_by_transactions(line).as_deref(), Some("hi"));
    assert_eq!(history_by_transactions("mariadb-dump: Error 1"), None);
}

#[test]
fn pg_restore_tells_where_it_is() {
    let of = |line| Line::of(Flavour::Postgresql, line);
    assert_eq!(
        of("pg_restore: processing data for table \"public.a\""),
        Line::Table("public.a")
    );
    assert_eq!(
        of("pg_restore: creating INDEX \"public.by_a\""),
        Line::Made("INDEX \"public.by_a\"")
    );
    for chatter in [
        "pg_restore: connecting to database for restore",
        "pg_restore: entering main parallel loop",
        "pg_restore: launching item 3300 INDEX a",
        "pg_restore: finished item 3300 INDEX a",
        "pg_restore: processing item 3299 ENCODING ENCODING",
    ] {
        assert_eq!(of(chatter), Line::Chatter, "{chatter}");
    }
    for message in [
        "pg_restore: error: could not execute query: ERROR:  no",
        "pg_restore: from TOC entry 3300; 1259 16385 INDEX a orders",
        "pg_restore: warning: x",
    ] {
        assert_eq!(of(message), Line::Message, "{message}");
    }
}
