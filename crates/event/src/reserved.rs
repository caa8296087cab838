//! The event names of our own catalogue, which ordinary keys may not use.

/// What the names begin with in which Attestry tells of itself, of its evidence and of who got in. A key without the capability that
/// sends one of them is refused: otherwise a client could write `gap.agent` or `login.failure` events that look like Attestry's own.
pub const RESERVED_PREFIXES: [&str; 15] = [
    "gap.",
    "clock.",
    "key.",
    "violation.",
    "login.",
    "ledger.",
    "search.",
    "export.",
    "session.",
    "value.",
    "report.",
    "config.",
    "server.",
    "agent.",
    "person.",
];

/// The other names that the sources of a host give (docs/events.md). These alone, and not all that begins like them: `user.login` and
/// `package.deliver` are for any application to use. Sorted.
pub const RESERVED_NAMES: [&str; 96] = [
    "auth.mismatch",
    "auth.other",
    "command.output",
    "command.run",
    "container.attach",
    "container.commit",
    "container.create",
    "container.destroy",
    "container.detach",
    "container.die",
    "container.exec_create",
    "container.exec_die",
    "container.exec_start",
    "container.export",
    "container.health",
    "container.kill",
    "container.oom",
    "container.pause",
    "container.read",
    "container.rename",
    "container.restart",
    "container.start",
    "container.stop",
    "container.unpause",
    "container.update",
    "container.write",
    "cron.change",
    "cron.run",
    "docker.other",
    "docker.reload",
    "endpoint.check",
    "endpoint.down",
    "endpoint.up",
    "file.chmod",
    "file.chown",
    "file.create",
    "file.delete",
    "file.modify",
    "filesystem.usage",
    "group.add",
    "group.add_member",
    "group.change",
    "group.remove",
    "group.remove_member",
    "host.boot",
    "host.restart",
    "host.set_time",
    "host.shutdown",
    "host.stats",
    "image.create",
    "image.delete",
    "image.import",
    "image.load",
    "image.pull",
    "image.push",
    "image.save",
    "image.tag",
    "image.untag",
    "network.connect",
    "network.create",
    "network.destroy",
    "network.disconnect",
    "package.configure",
    "package.install",
    "package.purge",
    "package.remove",
    "package.upgrade",
    "pam.failure",
    "password.change",
    "pkexec.run",
    "service.disable",
    "service.enable",
    "service.fail",
    "service.reload",
    "service.restart",
    "service.start",
    "service.stop",
    "ssh.authorize_key",
    "ssh.change_key",
    "ssh.disconnect",
    "ssh.disconnect_notice",
    "ssh.invalid_user",
    "ssh.refuse",
    "ssh.revoke_key",
    "state.baseline",
    "su.switch",
    "sudo.add_rule",
    "sudo.remove_rule",
    "sudo.run",
    "user.add",
    "user.change",
    "user.remove",
    "volume.create",
    "volume.destroy",
    "volume.mount",
    "volume.unmount",
];

/// The `event_source` of events that Attestry writes about itself.
pub const RESERVED_SOURCE: &str = "attestry";

/// Whether `event_name` belongs to Attestry's own catalogue.
pub fn is_reserved(event_name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| event_name.starts_with(prefix))
        || RESERVED_NAMES.binary_search(&event_name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_end_with_their_dot_and_names_are_whole() {
        for (name, reserved) in [
            ("login.failure", true),
            ("login.", true),
            ("login", false),
            ("logins.failure", false),
            ("loginSuccessful", false),
            ("my.login.failure", false),
            ("gap.clock", true),
            ("server.start", true),
            ("sudo.run", true),
            ("sudo.runs", false),
            ("sudo", false),
            ("user.add", true),
            ("user.login", false),
            ("my.user.add", false),
        ] {
            assert_eq!(is_reserved(name), reserved, "{name}");
        }
        for name in RESERVED_NAMES {
            assert!(is_reserved(name), "{name} is not where it is looked for");
        }
    }
}
