//! The steps that must be one, as scripts. All their keys are declared, and in one slot.

use crate::remote::Failure;
use redis::{Cmd, Script};

/// The lease of a key holds `H` and the token of who has it, `W` instead once somebody waits, or
/// `F` and what a failed load said.
pub(super) struct Scripts {
    pub(super) lease: Step,
    pub(super) commit: Step,
    pub(super) fail: Step,
    pub(super) release: Step,
    pub(super) renew: Step,
    pub(super) join_groups: Step,
    pub(super) invalidate_group: Step,
}

/// Keys: value, lease. Arguments: token, milliseconds, what was seen, until when it is wanted. A
/// server that was frozen must not grant, when it goes on, what nobody waits for any more. Of a value
/// that is large the size is told instead: it goes another way.
const LEASE: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if now > tonumber(ARGV[4]) then
  return {5, '', now}
end
local head = redis.call('GETRANGE', KEYS[1], 0, 63)
if head ~= '' and (ARGV[3] == '' or string.sub(head, 1, #ARGV[3]) ~= ARGV[3]) then
  local size = redis.call('STRLEN', KEYS[1])
  if size > 65536 then
    return {6, tostring(size), now}
  end
  return {1, redis.call('GET', KEYS[1]), now}
end
local lease = redis.call('GET', KEYS[2])
if not lease then
  redis.call('SET', KEYS[2], 'H' .. ARGV[1], 'PX', ARGV[2])
  return {2, '', now}
end
local left = redis.call('PTTL', KEYS[2])
local kind = string.sub(lease, 1, 1)
if kind == 'F' then
  return {4, string.sub(lease, 2), left}
end
if kind == 'H' then
  redis.call('SET', KEYS[2], 'W' .. string.sub(lease, 2), 'KEEPTTL')
end
return {3, '', left}
";

/// Keys: value, lease. Arguments: token, channel, message, bytes, milliseconds.
const COMMIT: &str = r"
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, 1) == 'F' or string.sub(lease, 2) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
redis.call('UNLINK', KEYS[2])
if string.sub(lease, 1, 1) == 'W' then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return 1
";

/// Keys: lease. Arguments: token, channel, message, what it said, milliseconds.
const FAIL: &str = r"
local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, 1) == 'F' or string.sub(lease, 2) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], 'F' .. ARGV[4], 'PX', ARGV[5])
if string.sub(lease, 1, 1) == 'W' then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return 1
";

/// Keys: lease. Arguments: token, channel, message.
const RELEASE: &str = r"
local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, 1) == 'F' or string.sub(lease, 2) ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', KEYS[1])
if string.sub(lease, 1, 1) == 'W' then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return 1
";

/// Keys: lease. Arguments: token, milliseconds.
const RENEW: &str = r"
local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, 1) == 'F' or string.sub(lease, 2) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

/// Keys: groups, then the time when the latest entry of any was born, unless that is named alone. Arguments: the version
/// of a new one, milliseconds to keep it, when this entry was born, how many groups. One is kept longer only when less than half
/// of that is left: every write of it is told. An entry that was born later than now is of another
/// clock, and under no version known to be valid.
const JOIN_GROUPS: &str = r"
local t = redis.call('TIME')
local is_early = tonumber(ARGV[3]) > t[1] * 1000000 + t[2]
local groups = tonumber(ARGV[4])
local latest = KEYS[groups + 1]
if latest then
  local born = tonumber(redis.pcall('GET', latest))
  if not born or born < tonumber(ARGV[3]) then
    redis.call('SET', latest, ARGV[3], 'PX', ARGV[2])
  end
end
local versions = {}
for i = 1, groups do
  local version = redis.call('GET', KEYS[i])
  if not version then
    version = ARGV[1]
    redis.call('SET', KEYS[i], version, 'PX', ARGV[2])
  elseif redis.call('PTTL', KEYS[i]) * 2 < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
  end
  versions[i] = is_early and 'unknown' or version
end
return versions
";

/// Keys: group, the time when the latest entry of any was born. Arguments: milliseconds to keep it, that time where it
/// is no key. A version only rises. Entries that were born later than now, by a clock that was set back or by
/// that of a master this one has replaced, are made invalid as well: with a second more, because the
/// latest of those may not have been replicated. What others wrote there, no number, is no version.
const INVALIDATE_GROUP: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local version = now
local born = tonumber(KEYS[2] and redis.pcall('GET', KEYS[2]) or ARGV[2])
if born and born >= version then
  version = born + 1000000
end
local before = tonumber(redis.pcall('GET', KEYS[1]))
if before and before >= version then
  version = before + 1
end
redis.call('SET', KEYS[1], string.format('%.0f', version), 'PX', ARGV[1])
return now
";

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            lease: Step::new(LEASE),
            commit: Step::new(COMMIT),
            fail: Step::new(FAIL),
            release: Step::new(RELEASE),
            renew: Step::new(RENEW),
            join_groups: Step::new(JOIN_GROUPS),
            invalidate_group: Step::new(INVALIDATE_GROUP),
        }
    }
}

/// One script, and the name a server that knows it knows it by.
pub(super) struct Step {
    source: &'static str,
    hash: String,
}

impl Step {
    fn new(source: &'static str) -> Self {
        let hash = Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    /// The short form; a server that does not know it says NOSCRIPT.
    pub(super) fn by_hash(&self, keys: &[&[u8]], args: &[&[u8]], last: Option<&str>) -> Cmd {
        call("EVALSHA", &self.hash, keys, args, last)
    }

    /// The long form, which teaches it to the server as well.
    pub(super) fn by_source(&self, keys: &[&[u8]], args: &[&[u8]], last: Option<&str>) -> Cmd {
        call("EVAL", self.source, keys, args, last)
    }
}

fn call(command: &str, what: &str, keys: &[&[u8]], args: &[&[u8]], last: Option<&str>) -> Cmd {
    let mut cmd = redis::cmd(command);
    cmd.arg(what).arg(keys.len());
    for key in keys {
        cmd.arg(*key);
    }
    for arg in args {
        cmd.arg(*arg);
    }
    // Nothing at all where there is none.
    cmd.arg(last);
    cmd
}

/// Whether a server refused because it does not know the script.
pub(super) fn is_unknown(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(code) if &**code == "NOSCRIPT")
}
