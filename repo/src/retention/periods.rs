//! Periods of the calendar: hours, days, weeks, months and years as people in a time zone count them.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{ToSpan, Unit, ZonedDateTime, ZonedDateTimeRound};

use crate::units::Timestamp;

/// A period of the calendar, shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// An hour of the wall clock. The one that a change of the clock repeats is two.
    Hour,
    /// From midnight to midnight: 23 or 25 hours where the clock changes.
    Day,
    /// From Monday to Sunday, counted by ISO 8601.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// As a rule is called.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// More than one of them.
    #[must_use]
    pub const fn many(self) -> &'static str {
        match self {
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
            Self::Year => "years",
        }
    }

    /// Which one holds a moment. No two have the same label.
    #[must_use]
    pub fn label(self, moment: Timestamp, zone: &TimeZone) -> String {
        let local = local(moment, zone);
        match self {
            // With the offset, since where the clock is set back an hour comes twice.
            Self::Hour => local.strftime("%Y-%m-%d %H:00%:z").to_string(),
            Self::Day => local.strftime("%Y-%m-%d").to_string(),
            Self::Week => {
                let week = local.date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => local.strftime("%Y-%m").to_string(),
            Self::Year => local.strftime("%Y").to_string(),
        }
    }

    /// When the period begins that comes so many after the one that holds a moment; `None` beyond the calendar.
    #[must_use]
    pub fn begins(self, moment: Timestamp, zone: &TimeZone, after: u32) -> Option<Timestamp> {
        let local = local(moment, zone);
        let count = i64::from(after);
        let begins = match self {
            Self::Hour => {
                let hour = ZonedDateTimeRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Floor);
                local.round(hour).ok()?.checked_add(count.hours())
            }
            Self::Day => local.start_of_day().ok()?.checked_add(count.days()),
            Self::Week => {
                let back = i64::from(local.weekday().to_monday_zero_offset());
                local.checked_sub(back.days()).ok()?.start_of_day().ok()?.checked_add(count.weeks())
            }
            Self::Month => local.first_of_month().ok()?.start_of_day().ok()?.checked_add(count.months()),
            Self::Year => local.first_of_year().ok()?.start_of_day().ok()?.checked_add(count.years()),
        };
        // A day may begin at another hour than the one counted from.
        let begins = if self == Self::Hour { begins.ok()? } else { begins.ok()?.start_of_day().ok()? };
        Some(begins.timestamp().into())
    }
}

/// A moment as people in the zone see it; the ends of the calendar for what lies beyond them.
fn local(moment: Timestamp, zone: &TimeZone) -> ZonedDateTime {
    let nanos = i32::try_from(moment.nanos()).unwrap_or_default();
    let instant = jiff::Timestamp::new(moment.seconds(), nanos).unwrap_or(if moment.seconds() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    instant.to_zoned_datetime(zone.clone())
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.rule())
    }
}
