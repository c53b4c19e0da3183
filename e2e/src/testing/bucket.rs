//! The cluster's bucket as seen with its keys: what is in it, and which uploads are open.

use base64::Engine;
use db_operator::api::destination::{ACCESS_KEY_ID_KEY, SECRET_ACCESS_KEY_KEY};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::s3::presign::{Keys, presign};
use crate::servers::{BUCKET, NAMESPACE, OPERATOR_NAMESPACE, S3};

/// The bucket that the shared instances' backups go to.
pub struct Bucket {
    client: Client,
    host: String,
    keys: Keys,
}

impl Bucket {
    /// Reads the address, the keys and the authority in the cluster.
    pub async fn open(cluster: &Client) -> Self {
        let secrets: Api<Secret> = Api::namespaced(cluster.clone(), OPERATOR_NAMESPACE);
        let value = async |secret: &str, key: &str| {
            let data = secrets.get(secret).await.unwrap().data.unwrap();
            String::from_utf8(data[key].0.clone()).unwrap()
        };
        let keys = Keys {
            access: value("backups-s3", ACCESS_KEY_ID_KEY).await,
            secret: value("backups-s3", SECRET_ACCESS_KEY_KEY).await,
        };
        let services: Api<Service> = Api::namespaced(cluster.clone(), NAMESPACE);
        let host = services.get(S3).await.unwrap().spec.unwrap().cluster_ip;
        let host = host.unwrap();
        let ca = value("s3-ca", "ca.crt").await;
        // This machine does not resolve the cluster's names: the certificate's is told apart from the address.
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({
            "clusters": [{"name": "s3", "cluster": {
                "server": format!("https://{host}"),
                "tls-server-name": format!("{S3}.{NAMESPACE}.svc"),
                "certificate-authority-data": base64::prelude::BASE64_STANDARD.encode(ca),
            }}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "s3", "context": {"cluster": "s3", "user": "nobody"}}],
            "current-context": "s3",
        }))
        .unwrap();
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Self {
            client: Client::try_from(config.unwrap()).unwrap(),
            host,
            keys,
        }
    }

    /// Sends a request as it stands, without a signature of ours. Returns the status it is answered with, and the words.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let uri: http::Uri = url.parse().unwrap();
        let path = uri.path_and_query().unwrap().as_str();
        let mut request = http::Request::builder().method(method).uri(path);
        // It is part of what was signed.
        for (name, value) in [("host", uri.host().unwrap())].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// The bytes of an object; `None` if there is none at this key.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask(&format!("/{BUCKET}/{key}"), &[]).await;
        match status {
            200 => Some(body),
            404 => None,
            other => panic!("GET {key}: {other} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// The keys of all objects that begin like this.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let query = [("list-type", "2"), ("prefix", prefix)];
        self.listed(&query).await
    }

    /// The keys of all uploads that were begun under keys like this, and neither completed nor aborted.
    pub async fn uploads(&self, prefix: &str) -> Vec<String> {
        self.listed(&[("prefix", prefix), ("uploads", "")]).await
    }

    async fn listed(&self, query: &[(&str, &str)]) -> Vec<String> {
        let (status, body) = self.ask(&format!("/{BUCKET}"), query).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{text}");
        let begins = text.split("<Key>").skip(1);
        begins
            .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
            .collect()
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> (u16, Vec<u8>) {
        let uri = presign("GET", &self.host, path, query, &self.keys).unwrap();
        let request = http::Request::get(uri).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.unwrap();
        (status, body.to_vec())
    }
}
