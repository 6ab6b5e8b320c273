//! The file that `lifeboat init` writes where there is none.

/// A configuration with every field explained. It parses; its paths are examples.
pub(crate) const TEMPLATE: &str = r#"# What Lifeboat backs up, where to, and how soon it must be back.
#
# Paths are absolute, or relative to this file. Durations: 45s, 15m, 24h, 1h30m, 2d, 1w.
# Names: a-z 0-9 . _ -, at most 63 characters. A field that is not known is an error, never ignored.
# Check it with `lifeboat doctor`.

# This host, as a writer. A host that only restores needs no [host]. That of a maintainer, which expires
# old snapshots and collects what they leave, has the same fields; `lifeboat keys maintainer new` makes keys.
[host]
writer = "host-1"                            # its name; never give the same to two hosts
signing_key = "keys/host-1"                  # made by `lifeboat init`; signs what this host stores
card_identity = "keys/host-1.card"           # made by `lifeboat init`; opens no customer's data
state = "state"                              # what speeds up the next backup; may be lost at any time
# state_in_repository = true                 # the repository keeps a copy, for hosts that are gone tomorrow
# A service manager may place them elsewhere: LIFEBOAT_SIGNING_KEY, LIFEBOAT_CARD_IDENTITY, LIFEBOAT_STATE.

# A region is a place with a jurisdiction. Data of its components goes to its repository and nowhere else.
[regions.eu-fra]
jurisdiction = "EU"
repository = "repositories/eu-fra"           # a directory; on another machine or disk than the data!
# Trust begins with these keys. `lifeboat init` pins the first; compare them with the paper in the safe.
# officers = ["ssh-ed25519 AAAA… alice"]
# How long a restore may take: what you aim for, and what you promised.
rto_target = "24h"
rto_limit = "48h"
# What a timed restore cannot show, if you know it (0 is assumed, and said so):
# rto_setup = "2h"                           # until a machine stands ready to restore to
# rto_cutover = "30m"                        # from restored data to a service that people use
# (a component has these, too, and rto_replay, rto_checks: replaying logs, the application's own checks)

# A second store of the same, in another account or on another disk; `lifeboat replicate` fills it. The same
# jurisdiction: a region's data never leaves it.
# replica = "s3://acme-replica-fra/lifeboat"   # options in [regions.eu-fra.replica_s3], as below
# replica_jurisdiction = "EU"                # where that is
# Who keeps the newest entry of every ledger, in another account: only so a cut off end is noticed.
# witness = "s3://acme-witness/lifeboat"     # options in [regions.eu-fra.witness_s3]; or a command:
# witness_command = ["/usr/lib/lifeboat/witness", "ssh", "lifeboat@witness.example"]

# A second region looks just the same. Here its repository lies in a bucket:
# [regions.us-dal]
# jurisdiction = "US"
# repository = "s3://acme-backup-dal/lifeboat"
# [regions.us-dal.s3]                        # credentials: the usual AWS variables, files, roles
# region = "us-east-2"
# endpoint = "https://s3.example.com"        # where the server is not Amazon's own
# path_style = true                          # the bucket in the path; the default with an endpoint
# profile = "backup"                         # of the shared credentials file
# ca_file = "ca.pem"                         # certificates trusted besides the system's
# lock = "60d"                               # nobody may delete what is put for so long (Object Lock)
# lock_short = "14d"                         # the same for components with lock = "short"
# lock_floor = "30d"                         # with less left it is extended, and nothing new relies on it
# lock_profile = "locks"                     # the profile that extends locks
# storage_class = "STANDARD_IA"              # of packs
# allow_private = true                       # the server has a private address
# allow_http = true                          # and is not encrypted on the way

# A component is backed up and restored on its own.
[components.chats]
region = "eu-fra"
path = "data/chats"                          # the tree to back up
tenants = ["uploads/{tenant}"]               # which paths are which customer's; each gets a key of its own
# not_tenants = ["uploads/lost+found"]       # what lies where a customer's data would, and is nobody's
# Why the rest belongs to no customer. Without it, a rest that is found makes the backup "partly done".
system = "settings and templates of ours"
rpo = "24h"                                  # how much may be lost
# rto_target = "4h"                          # for this component alone
# rto_limit = "24h"
# needs = ["identity"]                       # components that must be back before this one
# rto_shards = 8                             # into how many shards its restore may be divided among workers
# personal = true                            # the rest is personal data all the same, under no customer's key
# lock = "short"                             # so its packs go soon; see docs/stores.md
# forget_within = "30d"                      # promised: what is deleted is gone by then (`policy check`)
#
# What is left out, as in a .gitignore at `path`. Nothing is by itself; every backup counts what is.
# exclude = ["*.tmp", "/var/cache/**", "!keep.tmp"]
# exclude_if_present = [".nobackup"]         # contents of directories that hold such a file
# cachedir_tag = true                        # contents of directories with a CACHEDIR.TAG
# allow_empty = true                         # nothing in it at all is no sign of a disk that is not mounted
# one_filesystem = true                      # nothing that is mounted below `path`
#
# What hardly lives any more in what is stored together is stored anew, so that dead data goes; "0%": never.
# rewrite_below = "75%"                      # where less than this of it lives, and it pays
# rewrite_at_most = "3%"                     # of the component in one backup
#
# Lines for the shell, with LIFEBOAT_COMPONENT, _RUN, _STATUS and more. If one of `before` fails nothing is
# backed up; then, and whenever a backup fails, those of `on_failure` run in the place of `after`.
# [components.chats.hooks]
# before = ["lvcreate --snapshot --name chats-now --size 1G vg/chats && mount /dev/vg/chats-now /mnt/now"]
# after = [{ run = "umount /mnt/now && lvremove --yes vg/chats-now", timeout = "2m", user = "root" }]
# on_failure = ["umount /mnt/now; lvremove --yes vg/chats-now"]

# Records that `lifeboat heartbeat` writes into the data, every minute by a timer: what a restored copy has of
# them bounds what it lost. For a tree the section may be empty; anything else needs a program for it.
# [components.chats.heartbeat]
# file = ".lifeboat-heartbeat"               # below path
# tenants = 5                                # a sample of tenants gets one, too
# count = "/usr/local/bin/count-chats"        # prints how many records each tenant has: TENANT COUNT
# count_every = "15m"

# How everything is brought back: `status` says how long that takes.
# [recovery]
# workers = 4                                # machines that restore at a time
# [recovery.retrieval.GLACIER]               # what the maker's documentation says is known for S3
# wait = "5h"
# source = "contract with our provider, 4.2"

# Which snapshots are kept. Without this all are; `lifeboat retain` says what would expire, and why.
# [components.chats.keep]
# last = 7                                   # the newest
# daily = 14                                 # of each of 14 days; so hourly, weekly, monthly, yearly
# within = "48h"                             # all that are no older
# minimum_age = "1d"                         # nothing younger expires
# tz = "Europe/Berlin"                       # whose days; otherwise UTC

# A customer whose data leaves backups sooner.
# [tenants.acme]
# keep = "90d"

# What was promised of all components, and how often retain and gc run.
# [policy]
# forget_within = "30d"
# every = "1d"

# What a program writes, such as a database's dump, as one stream. If it fails, there is no snapshot.
# [components.crm]
# region = "eu-fra"
# command = ["pg_dump", "-Fc", "-Z0", "crm"] # uncompressed, so that only what changed is stored anew
# user = "postgres"                          # as whom it runs, if not as ourselves
# env = { PGHOST = "/run/postgresql" }       # never logged
# timeout = "6h"                             # the whole of it
# stream_name = "crm.dump"                   # its name in the snapshot; otherwise crm.stream
# system = "all customers' data in one dump" # or: tenant = "acme", whose data it is
# [components.crm.heartbeat]
# write = "psql crm -c \"INSERT INTO heartbeat VALUES ('$LIFEBOAT_HEARTBEAT')\""

# What components say of one another, checked on restored copies: $LIFEBOAT_RESTORED has a directory for each.
# [references.tickets-of-chats]
# components = ["chats", "crm"]
# run = "/usr/local/bin/check-tickets"

# What this host may use, whatever it does.
# [limits]
# bandwidth = "50MB/s"                       # to and from all repositories together
# memory = "512MiB"                          # for the buffers of a backup
# threads = 2
# nice = 10                                  # 0 to 19: stands back for others
# [[limits.schedule]]
# hours = "08:00-18:00"                      # past midnight as in 22:00-06:00
# bandwidth = "10MB/s"                       # or "unlimited"
# tz = "Europe/Berlin"                       # otherwise this machine's zone

# Metrics for Prometheus, written as each verb ends; the same as --metrics.
# [metrics]
# textfile = "/var/lib/prometheus/node-exporter/lifeboat.prom"

# A URL that is asked for when all is done and confirmed, so that somebody notices when it is not any more.
# Failing to ask for it fails nothing. A component may have one of its own: ping = "https://…".
# [ping]
# url = "https://hc.example.com/KEY/{verb}"  # {verb} where each verb has its own
# verbs = ["backup", "verify"]               # those that ask; otherwise backup alone
# success = ""                               # what is appended when it ended well
# start = "/start"                           # and as it begins; nothing is asked for then without this
# failure = "/{exit}"                        # and when it ended otherwise; {exit} stands for the exit code
# allow_private = true                       # allow_http, ca_file: as for buckets

# When a maintainer collects what no snapshot needs any more (`lifeboat gc`), and how much.
# [gc]
# pack_age = "3d"                            # younger packs are left alone
# plan_age = "7d"                            # from condemning to deleting: readers have so long to finish
# run_age = "7d"                             # a backup that takes longer is ended where it is waited for
# dead_share = 25                            # hundredths; from there on a pack is rewritten
# copy = "64GiB"                             # so much is copied in one go
"#;
