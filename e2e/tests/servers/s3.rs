//! An object through the S3 server's API, with requests presigned as in AWS Signature Version 4.

use db_operator::api::destination::{ACCESS_KEY_ID_KEY, SECRET_ACCESS_KEY_KEY};
use e2e::cluster::{Authority, Cluster};
use e2e::s3::presign::{Keys, presign};
use e2e::{command, kubeconfig, servers};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

const HOST: &str = "s3.databases.svc";

/// Puts an object, reads it and deletes it; a wrong key or authority is refused.
pub(crate) fn put_get_delete() {
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
        access: key(ACCESS_KEY_ID_KEY),
        secret: key(SECRET_ACCESS_KEY_KEY),
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
            let uri = presign(method, &address, &path, &[], keys).unwrap();
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
        let request = http::Request::get(presign("GET", &address, &path, &[], &keys).unwrap())
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
