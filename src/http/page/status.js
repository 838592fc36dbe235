// What a status means for the reader: its rank, its words, what to do about it, and the sentence on top of the page.

import {about, counted, fraction, percent, quoted, roughly, sqlLiteral} from './format.js';

// Trouble first.
export const statuses = ['failed', 'stalled', 'gated', 'paused', 'rebuilding', 'ready'];

export function rank(status) {
    const place = statuses.indexOf(status);
    return place < 0 ? 0 : place;
}

export function knownStatus(status) {
    return statuses.includes(status) ? status : 'unknown';
}

const names = new Intl.Collator('en', {numeric: true});

export function byTrouble(a, b) {
    return rank(a.status) - rank(b.status) || names.compare(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

export function byName(a, b) {
    return names.compare(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

export function reasonCode(reason) {
    return (reason ?? '').split(':', 1)[0];
}

// How far it is, where that is worth a word.
export function progress(query) {
    const part = fraction(query.position, query.headPosition);
    if (query.status !== 'rebuilding')
        return '';
    const words = [part === null ? '' : percent(Math.min(part, 0.99))];
    if (query.estimatedSecondsRemaining !== null && query.estimatedSecondsRemaining !== undefined)
        words.push(`${about(query.estimatedSecondsRemaining)} left`);
    return words.filter(Boolean).join(', ');
}

const predicates = {
    failed: ['has failed', 'have failed'],
    stalled: ['is stalled', 'are stalled'],
    gated: ['waits for approval', 'wait for approval'],
    paused: ['is paused', 'are paused'],
    rebuilding: ['is rebuilding', 'are rebuilding'],
    ready: ['is ready', 'are ready'],
};

export function predicate(status, count = 1) {
    const words = predicates[status] ?? [`is ${status}`, `are ${status}`];
    return words[count === 1 ? 0 : 1];
}

function clause(query) {
    const far = progress(query);
    return `${quoted(query.name)} ${predicate(query.status)}${far ? `, ${far}` : ''}`;
}

function joined(parts) {
    return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function aboutQueries(queries) {
    if (queries.length === 0)
        return 'There are no queries to show.';
    const trouble = queries.filter(query => query.status !== 'ready').sort(byTrouble);
    if (trouble.length === 0)
        return queries.length === 1 ? `The query ${quoted(queries[0].name)} is ready.` : `All ${counted(queries.length, '', 'queries')} are ready.`;
    if (queries.length === 1)
        return `The query ${clause(trouble[0])}.`;
    const ready = queries.length - trouble.length;
    const head = `${ready === 0 ? 'None' : ready} of ${counted(queries.length, 'query', 'queries')} ${ready === 1 ? 'is' : 'are'} ready; `;
    if (trouble.length <= 2)
        return `${head}${trouble.map(clause).join('; ')}.`;
    const groups = new Map();
    for (const query of trouble)
        groups.set(query.status, [...(groups.get(query.status) ?? []), query]);
    return head + joined([...groups].map(([status, members]) => members.length === 1
        ? `${quoted(members[0].name)} ${predicate(status)}` : `${members.length} ${predicate(status, members.length)}`)) + '.';
}

// Shorter holes are everyday life.
const longSeconds = 5;

export function holders(source) {
    return (source.blockedBy ?? []).map(pid => pid === 0 ? 'a prepared transaction' : `pid ${pid}`);
}

export function isHeldUp(source) {
    return holders(source).length > 0 && source.blockedFor >= longSeconds;
}

function aboutSources(sources) {
    return sources.filter(isHeldUp).map(source =>
        ` The source ${quoted(source.name)} waits for ${joined(holders(source))}, for ${roughly(source.blockedFor)} now.`).join('');
}

export function summary(queries, sources) {
    return aboutQueries(queries) + aboutSources(sources);
}

export function titleOf(queries) {
    const worst = statuses.find(status => status !== 'ready' && queries.some(query => query.status === status));
    const ready = queries.filter(query => query.status === 'ready').length;
    const counts = `${ready} of ${queries.length} ready`;
    return worst ? `${queries.filter(query => query.status === worst).length} ${worst}, ${counts}` : counts;
}

// What an operator does next. The page itself only reads.
const byReason = {
    updater_error: ['The updater raised an error at this event. Mend the updater or the event, then let it go on:', 'readmodel.retry'],
    timeout: ['The updater took too long for one event. Mend it, then let it go on:', 'readmodel.retry'],
    source_rewound: ['The source ends before what was applied, as after a restore or a truncation. If that is right, build it anew:', 'readmodel.rebuild'],
    late_event: ['An event came in at a position that was taken to be empty. Build it anew:', 'readmodel.rebuild'],
    definition_changed: ['What the definition uses is not what it was. Define it again, or build it anew:', 'readmodel.rebuild'],
    permission: ['A right is missing: SELECT on the event table, or EXECUTE on the updater.', null],
    lock: ['Another session holds a lock on a table that the worker needs.', null],
    no_worker: ['No worker runs for this database: see readmodel.enabled, readmodel.databases and the server\'s log.', null],
    no_slot: ['Raise max_worker_processes or readmodel.max_rebuild_workers.', null],
    not_preloaded: ['Add pg_readmodel to shared_preload_libraries and restart the server.', null],
    version: ['Run ALTER EXTENSION pg_readmodel UPDATE.', null],
    restoring: ['The database was just restored; the query goes on when its indexes and the sequence are there.', null],
    queued: ['It waits for its turn.', null],
    takeover: ['It is built. The transaction of that session reads the query\'s view or has locked its states: the takeover waits for its end.', null],
    dependents: ['It is built, but other objects depend on the query\'s view, which has to be made anew: drop them.', null],
    updater: ['One event takes the updater long. Set the option updater_timeout to break such calls off.', null],
    lag: ['It is further behind than its option max_lag allows.', null],
    source: ['The event table, or what the query needs of it, is gone or cannot be read.', null],
    transient: ['An error is tried again: the server\'s log tells it.', null],
    writer: ['It has all that can be applied. A writer\'s transaction is open before the events that follow.', null],
};

const byStatus = {
    paused: ['An operator paused it. To let it go on:', 'readmodel.resume'],
    gated: ['A new definition waits for a decision: approve or reject it.', 'readmodel.approve'],
};

// {text, sql}, or null where nothing is to be done.
export function advice(query) {
    const found = byStatus[query.status] ?? byReason[reasonCode(query.reason)];
    if (!found)
        return null;
    const [text, call] = found;
    return {text, sql: call ? `SELECT ${call}(${sqlLiteral(query.name)});` : null};
}
