//! A restore by hand from a pod that cannot succeed: the lines of the documentation end, and say that they failed.
//!
//! A client that stops early leaves its input unread, and `kubectl exec` would wait for a minute, and hide what the client said.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::testing::{Fixture, Server, on_every_server};
use serde_json::json;

/// Far less than the minute for which `kubectl exec` hangs.
const SOON: Duration = Duration::from_secs(30);

/// More than all pipes and windows in between hold, and nothing that compresses.
const REST: u64 = 48 << 20;

#[tokio::test]
async fn a_restore_that_fails_early_and_one_that_breaks_off_end_soon() {
    on_every_server(ends_soon).await;
}

async fn ends_soon(fixture: &Fixture) {
    let delete = json!({"deletionPolicy": "Delete"});
    let refused = fixture.make_usable("refused", delete.clone()).await;
    let cut = fixture.make_usable("cut", delete).await;

    // Its first words are an error to each client, and much follows.
    let mut dump = b"NO SUCH WORDS;\n-- ".to_vec();
    let random = File::open("/dev/urandom").unwrap();
    random.take(REST).read_to_end(&mut dump).unwrap();
    let ended = fixture.restore_from_pod(&compressed(&dump), &refused).await;
    assert!(!ended.succeeded && ended.took < SOON, "{ended:?}");
    let says = match fixture.server {
        Server::Postgres => "does not appear to be a valid archive",
        Server::Mysql | Server::Mariadb => "NO SUCH WORDS",
    };
    assert!(ended.said.contains(says), "{ended:?}");

    // One whose download was cut: nothing in it is wrong, as far as it goes.
    let mut dump = Vec::new();
    while dump.len() < 1 << 20 {
        dump.extend_from_slice(format!("DO {};\n", rand::random::<u32>()).as_bytes());
    }
    let mut object = compressed(&dump);
    object.truncate(object.len() / 2);
    let ended = fixture.restore_from_pod(&object, &cut).await;
    assert!(!ended.succeeded && ended.took < SOON, "{ended:?}");
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut zstd = Command::new("zstd")
        .args(["-1", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = zstd.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        zstd.wait_with_output().unwrap().stdout
    })
}
