//! Track and object properties (sections 2.5 and 12): raw bytes that are read on demand.

use core::time::Duration;

use bytes::Bytes;

use crate::{
    DecodeError, Draft, GroupOrder, KeyValueEncoder, KeyValues, Value, VarInt, draft::PropertyCodes,
};

/// What the draft's own track properties say; everything else stays in the raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackProperties {
    /// OBJECT_DELIVERY_TIMEOUT; zero: none.
    pub object_delivery_timeout: Option<Duration>,
    /// SUBGROUP_DELIVERY_TIMEOUT; zero: none.
    pub subgroup_delivery_timeout: Option<Duration>,
    /// MAX_CACHE_DURATION.
    pub cache_duration_max: Option<Duration>,
    /// DEFAULT_PUBLISHER_PRIORITY; lower goes first; absent: 128.
    pub publisher_priority: Option<u8>,
    /// DEFAULT_PUBLISHER_GROUP_ORDER.
    pub group_order: GroupOrder,
    /// DYNAMIC_GROUPS: subscribers may ask for a new group.
    pub dynamic_groups: bool,
    /// Types of mandatory track properties (0x4000 to 0x7fff) that are present.
    pub mandatory: Vec<u64>,
}

/// What the draft's own object properties say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectProperties {
    /// PRIOR_GROUP_ID_GAP: groups before this one that will never exist.
    pub prior_group_gap: Option<u64>,
    /// PRIOR_OBJECT_ID_GAP: objects before this one, in its group, that will never exist.
    pub prior_object_gap: Option<u64>,
}

impl TrackProperties {
    /// Priority of a track whose publisher names none.
    pub const PRIORITY_DEFAULT: u8 = 128;

    /// Reads a track's properties, those inside Immutable Properties too.
    ///
    /// # Errors
    ///
    /// When the bytes are not key-value pairs, or a value is outside its range.
    pub fn read(draft: Draft, properties: &Bytes) -> Result<Self, DecodeError> {
        let codes = &draft.table().properties;
        let mut track = Self::default();
        for_each(draft, properties, |key, value| track.set(codes, key, value))?;
        Ok(track)
    }

    /// Writes these properties (not `mandatory`), for a publisher that has no others.
    pub fn write(&self, draft: Draft) -> Bytes {
        let codes = &draft.table().properties;
        let order = match self.group_order {
            GroupOrder::Ascending => None,
            GroupOrder::Descending => Some(u64::from(self.group_order.to_code())),
        };
        let mut pairs = [
            (
                codes.object_delivery_timeout,
                self.object_delivery_timeout.map(milliseconds),
            ),
            (
                codes.cache_duration_max,
                self.cache_duration_max.map(milliseconds),
            ),
            (
                codes.subgroup_delivery_timeout,
                self.subgroup_delivery_timeout.map(milliseconds),
            ),
            (
                codes.publisher_priority,
                self.publisher_priority.map(u64::from),
            ),
            (codes.group_order, order),
            (codes.dynamic_groups, self.dynamic_groups.then_some(1)),
        ];
        pairs.sort_unstable();
        let mut encoder = KeyValueEncoder::new(draft);
        for (key, value) in pairs {
            if let Some(value) = value {
                encoder
                    .int(key, value)
                    .expect("the draft gives integers even keys, and they are sorted");
            }
        }
        encoder.finish()
    }

    /// Writes properties that were read from one draft for another: see [`translate_properties`].
    ///
    /// What may not be zero there is left out: it means the same.
    pub fn translate(from: Draft, to: Draft, properties: &Bytes) -> Result<Bytes, DecodeError> {
        if from == to {
            return Ok(properties.clone());
        }
        let timeout = to.table().properties.object_delivery_timeout;
        translate(from, to, properties, &|key, value| {
            to.one_control_stream() && key == timeout && *value == Value::Int(0)
        })
    }

    fn set(&mut self, codes: &PropertyCodes, key: u64, value: Value) -> Result<(), DecodeError> {
        if codes.mandatory.contains(&key) {
            self.mandatory.push(key);
        }
        let Value::Int(value) = value else {
            return Ok(());
        };
        if key == codes.object_delivery_timeout {
            self.object_delivery_timeout = Some(Duration::from_millis(value));
        } else if key == codes.subgroup_delivery_timeout {
            self.subgroup_delivery_timeout = Some(Duration::from_millis(value));
        } else if key == codes.cache_duration_max {
            self.cache_duration_max = Some(Duration::from_millis(value));
        } else if key == codes.publisher_priority {
            let forbidden = |_| DecodeError::Forbidden("DEFAULT_PUBLISHER_PRIORITY", value);
            self.publisher_priority = Some(u8::try_from(value).map_err(forbidden)?);
        } else if key == codes.group_order {
            self.group_order = GroupOrder::from_code("DEFAULT_PUBLISHER_GROUP_ORDER", value)?;
        } else if key == codes.dynamic_groups {
            self.dynamic_groups = match value {
                0 => false,
                1 => true,
                other => return Err(DecodeError::Forbidden("DYNAMIC_GROUPS", other)),
            };
        }
        Ok(())
    }
}

impl ObjectProperties {
    /// Reads an object's properties, those inside Immutable Properties too.
    ///
    /// # Errors
    ///
    /// When they make the track malformed: no key-value pairs, a key that must be single appears twice, Immutable
    /// Properties within themselves, a mandatory track property. End the subscription, not the session.
    pub fn read(draft: Draft, properties: &Bytes) -> Result<Self, DecodeError> {
        let codes = &draft.table().properties;
        let mut object = Self::default();
        for_each(draft, properties, |key, value| {
            if codes.mandatory.contains(&key) {
                return Err(DecodeError::KeyValueFormat(
                    "object with a mandatory track property",
                ));
            }
            let Value::Int(value) = value else {
                return Ok(());
            };
            let before = if key == codes.prior_group_gap {
                object.prior_group_gap.replace(value)
            } else if key == codes.prior_object_gap {
                object.prior_object_gap.replace(value)
            } else {
                None
            };
            match before {
                Some(_) => Err(DecodeError::KeyValueFormat("gap given twice")),
                None => Ok(()),
            }
        })?;
        Ok(object)
    }
}

/// Writes an object's properties that came in one draft's form in another's.
///
/// Keys and values stay; integers that need more bits than the other draft has are left out, with their keys.
///
/// # Errors
///
/// When the bytes are not key-value pairs.
pub fn translate_properties(
    from: Draft,
    to: Draft,
    properties: &Bytes,
) -> Result<Bytes, DecodeError> {
    let same = from.varint() == to.varint() && from.table().keys == to.table().keys;
    if same || properties.is_empty() {
        return Ok(properties.clone());
    }
    translate(from, to, properties, &|_, _| false)
}

/// Keys of draft 14 come in any order, the others want them to ascend.
fn translate(
    from: Draft,
    to: Draft,
    properties: &Bytes,
    leave_out: &dyn Fn(u64, &Value) -> bool,
) -> Result<Bytes, DecodeError> {
    let max = VarInt::max(to.varint());
    let immutable = from.table().properties.immutable;
    let mut pairs = KeyValues::new(from, properties.clone()).collect::<Result<Vec<_>, _>>()?;
    pairs.sort_by_key(|pair| pair.key);
    let mut encoder = KeyValueEncoder::new(to);
    for pair in pairs {
        if pair.key > max || leave_out(pair.key, &pair.value) {
            continue;
        }
        // Errors of the encoder are about kinds and order, which are right here, and lengths, which are checked.
        let written = match pair.value {
            Value::Int(value) if value > max => continue,
            Value::Int(value) => encoder.int(pair.key, value),
            Value::Bytes(inner) if pair.key == immutable => {
                // Immutable Properties are pairs themselves.
                let inner = translate(from, to, &inner, &|key, _| key == immutable)?;
                encoder.bytes(pair.key, &inner)
            }
            Value::Bytes(value) => encoder.bytes(pair.key, &value),
        };
        written.map_err(|_| DecodeError::KeyValueFormat("property"))?;
    }
    Ok(encoder.finish())
}

/// Visits every property, those inside Immutable Properties too (section 12.7).
fn for_each(
    draft: Draft,
    properties: &Bytes,
    mut visit: impl FnMut(u64, Value) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let immutable = draft.table().properties.immutable;
    let mut seen = false;
    for pair in KeyValues::new(draft, properties.clone()) {
        let pair = pair?;
        let Value::Bytes(inner) = &pair.value else {
            visit(pair.key, pair.value)?;
            continue;
        };
        if pair.key != immutable {
            visit(pair.key, pair.value)?;
            continue;
        }
        if core::mem::replace(&mut seen, true) {
            return Err(DecodeError::KeyValueFormat(
                "immutable properties given twice",
            ));
        }
        for pair in KeyValues::new(draft, inner.clone()) {
            let pair = pair.map_err(|_| DecodeError::KeyValueFormat("immutable properties"))?;
            if pair.key == immutable {
                return Err(DecodeError::KeyValueFormat(
                    "immutable properties within themselves",
                ));
            }
            visit(pair.key, pair.value)?;
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
