// How numbers, sizes and times are written. A missing value is an en dash everywhere.
//
// Positions come as numbers, or as text where JavaScript's numbers would round them (beyond 2^53): they are shown as they came.

export const missing = '–';
const thin = '\u202f'; // narrow, and no line breaks there

export function integer(value) {
    if (value === null || value === undefined)
        return missing;
    return String(typeof value === 'number' ? Math.round(value) : value).replace(/\B(?=(\d{3})+$)/g, thin);
}

// "7 queries", "1 query".
export function counted(count, one, several) {
    return `${integer(count)} ${Number(count) === 1 ? one : several}`;
}

export function rate(perSecond) {
    if (perSecond === null || perSecond === undefined)
        return missing;
    return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : integer(perSecond);
}

// Down, so that nothing is at 100 % before it is there.
export function fraction(position, head) {
    if (position === null || position === undefined || head === null || head === undefined)
        return null;
    if (Number(head) <= 0)
        return 1;
    return Math.min(1, Math.max(0, Number(position) / Number(head)));
}

export function percent(part) {
    return `${Math.floor(part * 100)}${thin}%`;
}

export function bytes(value) {
    if (value === null || value === undefined)
        return missing;
    let size = Number(value);
    let unit = 0;
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    while (size >= 1024 && unit < units.length - 1) {
        size /= 1024;
        ++unit;
    }
    return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)}${thin}${units[unit]}`;
}

// Exact enough for "since": two units at most.
export function duration(seconds) {
    if (seconds === null || seconds === undefined)
        return missing;
    const s = Math.max(0, seconds);
    if (s < 10 && s !== Math.floor(s))
        return `${s.toFixed(1)}${thin}s`;
    if (s < 60)
        return `${Math.floor(s)}${thin}s`;
    const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const first = parts.findIndex(([size]) => s >= size);
    const text = parts.slice(first, first + 2).map(([size, unit], place) => {
        const count = place === 0 ? Math.floor(s / size) : Math.floor((s % parts[first][0]) / size);
        return count === 0 ? '' : `${count}${thin}${unit}`;
    });
    return text.filter(Boolean).join(' ');
}

// One unit, for a sentence that is read and not watched.
export function roughly(seconds) {
    return duration(seconds).split(' ', 1)[0];
}

// An estimate that does not pretend to be exact, and so does not flicker.
export function about(seconds) {
    if (seconds < 5)
        return 'a few seconds';
    if (seconds < 85)
        return `about ${Math.round(seconds / 5) * 5}${thin}s`;
    if (seconds < 85 * 60)
        return `about ${Math.round(seconds / 60)}${thin}min`;
    if (seconds < 36 * 3600)
        return `about ${Math.round(seconds / 3600)}${thin}h`;
    return `about ${integer(Math.round(seconds / 86400))} days`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false});
const dayFormat = new Intl.DateTimeFormat(undefined, {year: 'numeric', month: 'short', day: 'numeric'});
const exactFormat = new Intl.DateTimeFormat(undefined, {
    year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
    hour12: false, timeZoneName: 'long'});

// In the reader's time zone; the day only where it is not today.
export function clock(date) {
    const time = clockFormat.format(date);
    return date.toDateString() === new Date().toDateString() ? time : `${dayFormat.format(date)}, ${time}`;
}

export function exactTime(date) {
    return exactFormat.format(date);
}

// As an SQL literal; with standard_conforming_strings a backslash is itself.
export function sqlLiteral(text) {
    return `'${text.replaceAll("'", "''")}'`;
}

// A name in a sentence.
export function quoted(name) {
    return `"${name}"`;
}

// As much of the hash as tells definitions apart.
export function shortHash(hash) {
    return hash ? hash.slice(0, 8) : '';
}
