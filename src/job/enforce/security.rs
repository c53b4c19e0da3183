//! Security contexts: what Pod Security's level `restricted` requires, and defaults where it leaves a choice.
//!
//! All fields are named, so that a new one of Kubernetes has to be judged before this compiles.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, SELinuxOptions, SeccompProfile,
    SecurityContext,
};

/// An arbitrary unprivileged user: the operator's own image has it too, and the vendors' tools need no entry in `/etc/passwd`.
pub(super) const USER: i64 = 65532;

/// The rights of the pod.
pub(super) fn of_pod(asked: PodSecurityContext) -> PodSecurityContext {
    let PodSecurityContext {
        app_armor_profile,
        fs_group,
        fs_group_change_policy,
        run_as_group,
        run_as_non_root: _,
        run_as_user,
        se_linux_change_policy,
        se_linux_options,
        seccomp_profile: _,
        supplemental_groups,
        supplemental_groups_policy,
        sysctls: _,
        windows_options: _,
    } = asked;
    PodSecurityContext {
        app_armor_profile: app_armor(app_armor_profile),
        // Makes the mounted Secrets readable: they are of this group.
        fs_group: not_root(fs_group).or(Some(USER)),
        fs_group_change_policy,
        run_as_group: not_root(run_as_group).or(Some(USER)),
        run_as_non_root: Some(true),
        run_as_user: not_root(run_as_user).or(Some(USER)),
        se_linux_change_policy,
        se_linux_options: se_linux(se_linux_options),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        supplemental_groups: supplemental_groups
            .map(|groups| groups.into_iter().filter(|&group| group != 0).collect()),
        supplemental_groups_policy,
        sysctls: None,
        windows_options: None,
    }
}

/// The rights of a container. `ours`: it runs our binary, which writes nowhere but into volumes.
pub(super) fn of_container(asked: SecurityContext, ours: bool) -> SecurityContext {
    let SecurityContext {
        allow_privilege_escalation: _,
        app_armor_profile,
        capabilities: _,
        privileged: _,
        proc_mount: _,
        read_only_root_filesystem,
        run_as_group,
        run_as_non_root: _,
        run_as_user,
        se_linux_options,
        seccomp_profile: _,
        windows_options: _,
    } = asked;
    SecurityContext {
        allow_privilege_escalation: Some(false),
        app_armor_profile: app_armor(app_armor_profile),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        privileged: None,
        proc_mount: None,
        read_only_root_filesystem: if ours {
            Some(true)
        } else {
            read_only_root_filesystem
        },
        run_as_group: not_root(run_as_group),
        run_as_non_root: Some(true),
        run_as_user: not_root(run_as_user),
        se_linux_options: se_linux(se_linux_options),
        // The pod's.
        seccomp_profile: None,
        windows_options: None,
    }
}

fn not_root(id: Option<i64>) -> Option<i64> {
    id.filter(|&id| id != 0)
}

fn app_armor(profile: Option<AppArmorProfile>) -> Option<AppArmorProfile> {
    profile.filter(|profile| profile.type_ != "Unconfined")
}

/// A level and the types for containers; a user or a role of SELinux is never a container's.
fn se_linux(options: Option<SELinuxOptions>) -> Option<SELinuxOptions> {
    const TYPES: [&str; 4] = [
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    let SELinuxOptions {
        level,
        role: _,
        type_,
        user: _,
    } = options?;
    Some(SELinuxOptions {
        level,
        role: None,
        type_: type_.filter(|type_| TYPES.contains(&type_.as_str())),
        user: None,
    })
}
