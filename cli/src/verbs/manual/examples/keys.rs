//! Examples of what concerns keys: who writes, who recovers, whose are destroyed.

use super::Examples;

pub(super) const EXAMPLES: Examples = &[
    (
        "lifeboat keys",
        &[("lifeboat keys check --identity recovery-eu-fra.txt", "Does the identity open everything?")],
    ),
    ("lifeboat keys writer", &[("lifeboat keys writer list", "List the hosts that may back up.")]),
    (
        "lifeboat keys writer new",
        &[("lifeboat keys writer new", "Make this host's keys, and the line for an officer.")],
    ),
    (
        "lifeboat keys writer add",
        &[(
            "lifeboat keys writer add app-1 --component chats --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Enrol this host, whose name is app-1, for one component.",
        )],
    ),
    (
        "lifeboat keys writer revoke",
        &[(
            "lifeboat keys writer revoke app-2 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "End a writer, after its host was broken into or retired.",
        )],
    ),
    (
        "lifeboat keys writer list",
        &[("lifeboat keys writer list --region eu-fra", "List the writers of one region.")],
    ),
    (
        "lifeboat erase",
        &[
            (
                "lifeboat erase acme --region eu-fra --dry-run --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Say what would be erased, and from when on that is beyond recovery.",
            ),
            (
                "lifeboat erase acme --region eu-fra --irrevocably --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Erase the tenant: its keys are destroyed, and nobody takes or gives back its data.",
            ),
            (
                "lifeboat erase --prove 0 --region eu-fra --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Try whether anything that is left opens what tombstone 0 erased.",
            ),
        ],
    ),
    (
        "lifeboat keys reseal",
        &[
            (
                "lifeboat keys reseal --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Once a month: make a new seal and seal every tenant key to it.",
            ),
            (
                "lifeboat keys reseal --finish --officer-key officer-alice --identity recovery-eu-fra.txt",
                "A day later: destroy the seal before, or say from when on that may be.",
            ),
        ],
    ),
    ("lifeboat keys catalog", &[("lifeboat help keys catalog renew", "See what it takes.")]),
    (
        "lifeboat keys catalog renew",
        &[(
            "lifeboat keys catalog renew --officer-key officer-alice --identity recovery-eu-fra.txt",
            "After a host was broken into and its writer revoked.",
        )],
    ),
    (
        "lifeboat keys officer remove",
        &[(
            "lifeboat keys officer remove bob --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Bob leaves: what is stored from now on his recovery identity does not open.",
        )],
    ),
    (
        "lifeboat keys maintainer",
        &[("lifeboat keys maintainer list", "List those who expire, collect and copy.")],
    ),
    (
        "lifeboat keys maintainer new",
        &[("lifeboat keys maintainer new", "Make this host's keys, and the line for an officer.")],
    ),
    (
        "lifeboat keys maintainer add",
        &[(
            "lifeboat keys maintainer add keeper-1 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Enrol this host, whose name is keeper-1, in every region.",
        )],
    ),
    (
        "lifeboat keys maintainer revoke",
        &[(
            "lifeboat keys maintainer revoke keeper-1 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "End a maintainer, after its host was broken into or retired.",
        )],
    ),
    (
        "lifeboat keys maintainer list",
        &[("lifeboat keys maintainer list --region eu-fra", "List the maintainers of one region.")],
    ),
    ("lifeboat keys officer", &[("lifeboat help keys officer add", "See what a new officer must bring.")]),
    (
        "lifeboat keys officer add",
        &[(
            "lifeboat keys officer add bob --signing-key-file officer-bob.pub \
             --recovery-recipient age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj \
             --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Take in a second officer, with a recovery identity of his own.",
        )],
    ),
    (
        "lifeboat keys check",
        &[(
            "lifeboat keys check --identity recovery-eu-fra.txt",
            "Try every tenant's key, and a segment of each.",
        )],
    ),
    (
        "lifeboat keys paper",
        &[(
            "lifeboat keys paper --identity recovery-eu-fra.txt",
            "Print what belongs in the safe, without the secret.",
        )],
    ),
];
