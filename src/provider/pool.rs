//! Few connections, each bounded in time.
