//! The rules that are there from the first day, as files of own rules; `rules.starter: false` switches them off.

/// Name and text of each file.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("starter/logins.yaml", include_str!("starter/logins.yaml")),
    ("starter/hosts.yaml", include_str!("starter/hosts.yaml")),
    ("starter/containers.yaml", include_str!("starter/containers.yaml")),
    ("starter/evidence.yaml", include_str!("starter/evidence.yaml")),
];
