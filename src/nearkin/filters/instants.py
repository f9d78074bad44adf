"""Points in time: ISO dates and times, as values of a filter and as strings in the metadata.

Read are ``2026-01-31`` (its first moment) and ``2026-01-31T12:00``, with seconds and up to nine digits of a fraction,
``T`` or a space between, and ``Z`` or an offset such as ``+02:00``, at most 14:59; without one it is UTC. Years are
0001 to 9999. A point in time is written as its UTC text to the nanosecond, so that text order is order in time; SQL
makes that text of a string by itself, which SQLite's own functions would read to the millisecond only.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from nearkin.errors import FilterError

_EARLIEST, _LATEST = "0", ":"  # texts before and after every text that begins with a year

_READ = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(?:Z|([+-])([0-9]{2}):([0-5][0-9]))?)?"
)
_FILL = "2000-01-01T00:00:00.000000000"
_DIGIT = "[0-9]"
_SPELT = f"{_DIGIT * 4}-{_DIGIT * 2}-{_DIGIT * 2}[T ][0-2]{_DIGIT}:[0-5]{_DIGIT}:[0-5]{_DIGIT}.{_DIGIT * 9}"  # a GLOB


def read_instant(text: str) -> str:
    """The point in time that an ISO date or time names, as UTC text of 29 characters.

    Raises
    ------
    FilterError
        No ISO date or time, or no such day.

    Examples
    --------
    >>> read_instant("2026-01-31"), read_instant("2026-01-31T12:00:00.5+02:00")
    ('2026-01-31T00:00:00.000000000', '2026-01-31T10:00:00.500000000')
    """
    found = _READ.fullmatch(text)
    if found is None:
        raise FilterError(
            f"{text[:40]!r} is no ISO date or time", hint="2026-01-31 or 2026-01-31T12:00:00Z is expected"
        )
    day, minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}")
        if sign:
            if int(hours) > 14:
                raise ValueError("no place on earth")
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):
        raise FilterError(
            f"there is no point in time {text!r}", hint="months, days, hours or offset are out of range"
        ) from None
    return f"{moment.isoformat(timespec='seconds')}.{fraction or '':0<9}"


def instant_of(moment: date) -> str:
    """The point in time of a date (its first moment in UTC) or of a datetime (UTC where it has no zone).

    >>> instant_of(date(2026, 1, 31))
    '2026-01-31T00:00:00.000000000'
    """
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    try:
        plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise FilterError(f"{moment} is before the year 1 or after the year 9999 in UTC") from None
    return f"{plain.isoformat(timespec='seconds')}.{plain.microsecond:06}000"


def written_instant(instant: str) -> str:
    """The shortest way to write a point in time.

    >>> written_instant("2026-01-31T00:00:00.000000000"), written_instant("2026-01-31T10:00:00.500000000")
    ('2026-01-31', '2026-01-31T10:00:00.5Z')
    """
    day, _, time = instant.partition("T")
    return day if time == "00:00:00.000000000" else f"{instant.rstrip('0').rstrip('.') if '.' in instant else instant}Z"


def first_text(instant: str) -> str:
    """A text that none of a moment from this one on is before: the day before, since an offset is less than a day.

    >>> first_text("2026-01-31T10:00:00.000000000")
    '2026-01-30'
    """
    try:
        return (date.fromisoformat(instant[:10]) - timedelta(days=1)).isoformat()
    except OverflowError:
        return _EARLIEST


def last_text(instant: str) -> str:
    """A text that all of moments until this one are before: two days later.

    >>> last_text("2026-01-31T10:00:00.000000000")
    '2026-02-02'
    """
    try:
        return (date.fromisoformat(instant[:10]) + timedelta(days=2)).isoformat()
    except OverflowError:
        return _LATEST


def instant_sql(value: str) -> str:
    """SQL that makes of the text that an expression gives what `read_instant` makes of it, or NULL if it is no date.

    SQLite takes 2026-02-30 for the 2nd of March once it counts in days, and knows an hour 24: both are refused here.
    """
    return (
        "(SELECT strftime('%Y-%m-%dT%H:%M:%S', substr(spelt, 1, 19) || zone) || substr(spelt, 20) FROM ("
        f"SELECT local || substr('{_FILL}', length(local) + 1) AS spelt, zone, length(local) AS size FROM ("
        "SELECT substr(given, 1, length(given) - n) AS local, substr(given, length(given) - n + 1) AS zone FROM ("
        "SELECT given, CASE WHEN given GLOB '*Z' THEN 1 WHEN given GLOB '*[+-][0-9][0-9]:[0-9][0-9]' THEN 6 ELSE 0 END"
        f" AS n FROM (SELECT {value} AS given)))) "
        f"WHERE spelt GLOB '{_SPELT}' AND (size IN (16, 19) OR size > 20 OR size = 10 AND zone = '') AND "
        "substr(spelt, 12, 2) < '24' AND date(substr(spelt, 1, 10), '+0 days') = substr(spelt, 1, 10) AND spelt >= '0001')"
    )
