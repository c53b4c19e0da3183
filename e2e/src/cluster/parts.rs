//! The parts of the cluster: what each runs, in the order of their start.

use std::path::PathBuf;

use super::Cluster;

/// A program of the cluster that runs in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name, which is also the program's.
    pub name: &'static str,
    /// Its command line without the program.
    pub arguments: Vec<String>,
}

impl Part {
    /// Where it writes what it has to say.
    #[must_use]
    pub(super) fn log(&self, cluster: &Cluster) -> PathBuf {
        cluster.logs_dir().join(format!("{}.log", self.name))
    }
}

/// What all others need: several of those give up, or settle for less, if the API server is not there in time.
#[must_use]
pub(super) fn base(cluster: &Cluster) -> Vec<Part> {
    let state = cluster.state_dir().display();
    let settings = cluster.settings();
    let (address, services) = (settings.node_address(), settings.service_range());
    let audit = cluster.audit_log();
    let audit = audit.display();
    vec![
        part(
            "containerd",
            &format!("--config={state}/etc/containerd.toml"),
        ),
        // The data lives as long as the cluster: what a crash of the whole machine could cost is not worth a sync per write.
        part(
            "etcd",
            "--name=e2e --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn \
             --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
             --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
             --initial-cluster=e2e=http://127.0.0.1:2380",
        ),
        part(
            "kube-apiserver",
            &format!(
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
            ),
        ),
    ]
}

/// All others.
#[must_use]
pub(super) fn workers(cluster: &Cluster) -> Vec<Part> {
    let state = cluster.state_dir().display();
    let (node, address) = (cluster.node(), cluster.settings().node_address());
    vec![
        part(
            "kube-controller-manager",
            &format!(
                "--kubeconfig={state}/etc/kube-controller-manager.kubeconfig --bind-address=127.0.0.1 --leader-elect=false \
             --use-service-account-credentials=true --service-account-private-key-file={state}/pki/service-accounts.key \
             --root-ca-file={state}/pki/kubernetes-ca.crt --cluster-signing-cert-file={state}/pki/kubernetes-ca.crt \
             --cluster-signing-key-file={state}/pki/kubernetes-ca.key"
            ),
        ),
        part(
            "kube-scheduler",
            &format!(
                "--kubeconfig={state}/etc/kube-scheduler.kubeconfig --bind-address=127.0.0.1 --leader-elect=false"
            ),
        ),
        part(
            "kubelet",
            &format!(
                "--config={state}/etc/kubelet.yaml --kubeconfig={state}/etc/kubelet.kubeconfig --hostname-override={node} \
             --node-ip={address}"
            ),
        ),
        part(
            "kube-proxy",
            &format!("--config={state}/etc/kube-proxy.yaml"),
        ),
        part("coredns", &format!("-conf {state}/etc/Corefile")),
    ]
}

/// All parts of a cluster, in the order of their start.
#[must_use]
pub(super) fn all(cluster: &Cluster) -> Vec<Part> {
    [base(cluster), workers(cluster)].concat()
}

fn part(name: &'static str, arguments: &str) -> Part {
    Part {
        name,
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
    }
}
