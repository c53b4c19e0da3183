//! An object through the S3 server's API, with requests presigned as in AWS Signature Version 4.

use e2e::cluster::{Authority, Cluster};
use e2e::{command, kubeconfig, servers};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sha2::{Digest, Sha256};

const HOST: &str = "s3.databases.svc";
const REGION: &str = "us-east-1";

struct Keys {
    access: String,
    secret: String,
}

/// Puts an object, reads it and deletes it; a wrong key or authority is refused.
pub fn put_get_delete() {
    let cluster = Cluster::main();
    let key = |name: &str| {
        let mut get = cluster.kubectl();
        get.args([
            "get",
            "secret",
            "backups-s3",
            "-n",
            servers::OPERATOR_NAMESPACE,
        ])
        .arg(format!(
            "--output=go-template={{{{.data.{name} | base64decode}}}}"
        ));
        command::output(&mut get).unwrap()
    };
    let keys = Keys {
        access: key("accessKeyId"),
        secret: key("secretAccessKey"),
    };
    let wrong = Keys {
        access: keys.access.clone(),
        secret: "wrong".to_owned(),
    };
    let mut get = cluster.kubectl();
    get.args([
        "get",
        "service",
        "s3",
        "-n",
        servers::NAMESPACE,
        "--output=jsonpath={.spec.clusterIP}",
    ]);
    let address = command::output(&mut get).unwrap();
    let path = format!("/{}/e2e-servers-{}", servers::BUCKET, std::process::id());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ca = cluster.ca().unwrap();
        let client = client(&address, &ca, &ca.certificate().unwrap()).await;
        let send = async |method: &str, keys: &Keys, body: &str| {
            let uri = presign(method, &address, &path, keys);
            let request = http::Request::builder().method(method).uri(uri);
            client
                .request_text(request.body(body.as_bytes().to_vec()).unwrap())
                .await
        };
        send("PUT", &keys, "an object").await.unwrap();
        assert_eq!(send("GET", &keys, "").await.unwrap(), "an object");
        assert!(
            send("GET", &wrong, "").await.is_err(),
            "a wrong key was accepted"
        );
        send("DELETE", &keys, "").await.unwrap();
        assert!(
            send("GET", &keys, "").await.is_err(),
            "the object is still there"
        );

        let stranger = self::client(&address, &ca, &crate::other_authority()).await;
        let request = http::Request::get(presign("GET", &address, &path, &keys))
            .body(Vec::new())
            .unwrap();
        let refusal = format!("{:?}", stranger.request_text(request).await.unwrap_err());
        assert!(
            refusal.contains("UnknownIssuer") || refusal.contains("BadSignature"),
            "{refusal}"
        );
    });
}

/// An HTTP client for this address that expects the name of the Service in a certificate of this authority.
async fn client(address: &str, ca: &Authority, trusted: &str) -> Client {
    let identity = ca.client("nobody", &[]).unwrap();
    let text = kubeconfig::render(&format!("https://{address}"), trusted, &identity);
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.tls_server_name = Some(HOST.to_owned());
    Client::try_from(config).unwrap()
}

/// A URL that is good for one method on one path, for a minute.
fn presign(method: &str, host: &str, path: &str, keys: &Keys) -> String {
    let now = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let day = &now[..8];
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let credential = format!("{}/{scope}", keys.access).replace('/', "%2F");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={now}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    );
    let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{now}\n{scope}\n{}",
        hex(&Sha256::digest(request))
    );
    let first = hmac(format!("AWS4{}", keys.secret).as_bytes(), day);
    let key = [REGION, "s3", "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac(&key, part));
    format!(
        "{path}?{query}&X-Amz-Signature={}",
        hex(&hmac(&key, &to_sign))
    )
}

/// HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes.
fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
