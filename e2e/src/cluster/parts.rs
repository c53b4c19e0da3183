//! The parts of the cluster: what each runs, in the order of their start.

use std::path::PathBuf;

use super::Cluster;

/// A program of the cluster that runs in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, which is also the program's.
    pub name: &'static str,
    /// Its command line without the program.
    pub arguments: Vec<String>,
}

/// What all others need: several of those give up, or settle for less, if the API server is not there in time.
pub const BASE: &[&str] = &["containerd", "etcd", "kube-apiserver"];

/// All others.
pub const WORKERS: &[&str] = &[
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
];

/// All parts' names, in the order of their start.
pub fn names() -> impl Iterator<Item = &'static str> {
    BASE.iter().chain(WORKERS).copied()
}

impl Part {
    /// Where it writes what it has to say.
    #[must_use]
    pub fn log(&self, cluster: &Cluster) -> PathBuf {
        cluster.logs_dir().join(format!("{}.log", self.name))
    }
}

/// All parts of a cluster, in the order of their start.
#[must_use]
pub fn all(cluster: &Cluster) -> Vec<Part> {
    names()
        .map(|name| Part {
            name,
            arguments: arguments(cluster, name),
        })
        .collect()
}

fn arguments(cluster: &Cluster, name: &str) -> Vec<String> {
    let state = cluster.state_dir().display();
    let settings = cluster.settings();
    let (node, address) = (cluster.node(), settings.node_address());
    let text = match name {
        "containerd" => format!("--config={state}/etc/containerd.toml"),
        // The data lives as long as the cluster: what a crash of the whole machine could cost is not worth a sync per write.
        "etcd" => "--name=e2e --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn \
             --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
             --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
             --initial-cluster=e2e=http://127.0.0.1:2380"
            .to_owned(),
        "kube-apiserver" => format!(
            "--etcd-servers=http://127.0.0.1:2379 --bind-address={address} --advertise-address={address} --secure-port=6443 \
             --service-cluster-ip-range={services} --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
             --allow-privileged=true --client-ca-file={state}/pki/kubernetes-ca.crt \
             --tls-cert-file={state}/pki/kube-apiserver.crt --tls-private-key-file={state}/pki/kube-apiserver.key \
             --kubelet-certificate-authority={state}/pki/kubernetes-ca.crt --kubelet-preferred-address-types=InternalIP \
             --kubelet-client-certificate={state}/pki/kubelet-client.crt --kubelet-client-key={state}/pki/kubelet-client.key \
             --service-account-issuer=https://kubernetes.default.svc.cluster.local \
             --service-account-key-file={state}/pki/service-accounts.pub \
             --service-account-signing-key-file={state}/pki/service-accounts.key \
             --audit-policy-file={state}/etc/audit.yaml --audit-log-path={audit} --audit-log-maxsize=1024 --audit-log-maxbackup=1",
            services = settings.service_range(),
            audit = cluster.audit_log().display(),
        ),
        "kube-controller-manager" => format!(
            "--kubeconfig={state}/etc/kube-controller-manager.kubeconfig --bind-address=127.0.0.1 --leader-elect=false \
             --use-service-account-credentials=true --service-account-private-key-file={state}/pki/service-accounts.key \
             --root-ca-file={state}/pki/kubernetes-ca.crt --cluster-signing-cert-file={state}/pki/kubernetes-ca.crt \
             --cluster-signing-key-file={state}/pki/kubernetes-ca.key"
        ),
        "kube-scheduler" => {
            format!("--kubeconfig={state}/etc/kube-scheduler.kubeconfig --bind-address=127.0.0.1 --leader-elect=false")
        }
        "kubelet" => format!(
            "--config={state}/etc/kubelet.yaml --kubeconfig={state}/etc/kubelet.kubeconfig --hostname-override={node} \
             --node-ip={address}"
        ),
        "kube-proxy" => format!("--config={state}/etc/kube-proxy.yaml"),
        "coredns" => format!("-conf {state}/etc/Corefile"),
        // `names` is where they come from.
        other => unreachable!("no such part: {other}"),
    };
    text.split_whitespace().map(str::to_owned).collect()
}
