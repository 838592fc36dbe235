// The page: what comes from the service goes to the lists, the sentence on top and the connection's own line.

import {element, setAttribute, setShape, setText, shape, show} from './dom.js';
import {clock, counted, duration, exactTime, integer, quoted} from './format.js';
import {QueryList} from './queries.js';
import {SourceList} from './sources.js';
import {knownStatus, predicate, statuses, summary, titleOf} from './status.js';
import {Stream} from './stream.js';

const byId = id => document.getElementById(id);
const page = {
    connection: byId('connection'), summary: byId('summary'), notice: byId('notice'), token: byId('token'), tokenValue: byId('token-value'),
    tokenNote: byId('token-note'), tools: byId('tools'), chips: byId('chips'), filter: byId('filter'), empty: byId('empty'),
    none: byId('none'), table: byId('query-table'), count: byId('queries-count'), sourcesCount: byId('sources-count'), announce: byId('announce'), keys: byId('keys'),
};

const queries = new QueryList(page.table);
const sources = new SourceList(byId('sources'), byId('source-table'));
let last = null;          // the last sample that had a database
let state = {name: 'connecting', since: new Date()};
const chosen = new Set(); // statuses that are shown; none chosen: all

// Only what changed is spoken, and many changes at once as a number.
function announce(text) {
    setText(page.announce, text);
}

function announceChanges(changes) {
    if (changes.length === 0)
        return;
    if (changes.length <= 3)
        announce(changes.map(query => `${quoted(query.name)} ${predicate(query.status)}`).join('; '));
    else
        announce(statuses.map(status => [status, changes.filter(query => query.status === status).length]).filter(([, count]) => count > 0)
            .map(([status, count]) => `${counted(count, 'query', 'queries')} ${predicate(status, count)}`).join('; '));
}

const words = {connecting: 'Connecting', live: 'Live', reconnecting: 'No connection', database: 'No database', locked: 'Token needed'};

// In place of the sentence about the queries, since nothing is known of them now.
const headlines = {reconnecting: 'The service does not answer.', database: 'The database does not answer.'};

// The database answers, but a role that may not see the queries would be told of none.
function hidden() {
    return state.name === 'database' && state.reason === 'hidden';
}

function word() {
    return hidden() ? 'No access' : words[state.name];
}

const causes = {
    connecting: 'The service is connecting to the database.',
    no_connection: 'The service cannot use the database and tries again by itself; its log says why.',
    busy: 'All connections of the service to the database are in use.',
    timeout: 'The database did not answer in time.',
    no_extension: 'The database has no pg_readmodel, or another version: CREATE EXTENSION pg_readmodel.',
    permission: 'The service\'s role lacks a right.',
    hidden: 'Its role lacks the right to: call readmodel.grant_reader() for it.',
};

function noticeText() {
    const stale = last ? ` What follows was so at ${clock(new Date(last.at))}.` : '';
    if (state.name === 'reconnecting')
        return `The page tries again by itself.${stale}`;
    if (state.name === 'database') {
        const [code] = (state.reason ?? '').split(':', 1);
        return `${causes[code] ?? `The database answers with an error: ${state.reason}.`}${stale}`;
    }
    return '';
}

function setState(name, since, reason) {
    const before = state.name;
    const changed = before !== name;
    if (changed || reason !== state.reason)
        state = {name, since: changed ? since ?? new Date() : state.since, reason};
    if (changed && before !== 'connecting')
        announce(`${word()}.`);
    drawState();
}

function drawState() {
    setAttribute(page.connection, 'data-state', state.name);
    setShape(page.connection.querySelector('svg'), state.name);
    setText(page.connection.querySelector('.word'), word());
    const since = page.connection.querySelector('.since');
    const seconds = Math.max(0, (Date.now() - state.since) / 1000);
    setText(since, state.name === 'connecting' || state.name === 'locked' ? ''
        : state.name === 'live' ? `since ${clock(state.since)}` : `for ${duration(Math.floor(seconds))}`);
    setAttribute(since, 'title', `since ${exactTime(state.since)}`);
    const notice = noticeText();
    show(page.notice, notice !== '');
    setText(page.notice, notice);
    document.body.classList.toggle('stale', notice !== '' && last !== null);
    if (headlines[state.name]) {
        setText(page.summary, hidden() ? 'The service may not see the queries.' : headlines[state.name]);
        document.title = `${word()} – read models`;
    }
}

function drawFrame() {
    const all = last.queries;
    show(page.empty, all.length === 0);
    show(page.tools, all.length > 0);
    show(page.keys, all.length > 0);
    show(page.table, all.length > 0 && queries.shown > 0);
    show(page.none, all.length > 0 && queries.shown === 0);
    setText(page.count, queries.shown === all.length ? integer(all.length) : `${integer(queries.shown)} of ${integer(all.length)}`);
    setText(page.sourcesCount, integer(last.sources.length));
    setText(page.summary, summary(all, last.sources));
    document.title = all.length === 0 ? 'Read models' : `${titleOf(all)} – read models`;
    for (const chip of page.chips.children) {
        const count = all.filter(query => knownStatus(query.status) === chip.dataset.status).length;
        setText(chip.lastElementChild, integer(count));
        show(chip, count > 0 || chosen.has(chip.dataset.status));
    }
}

function onSample(sample) {
    if (!sample.database) {
        setState('database', sample.since ? new Date(sample.since) : new Date(), sample.reason ?? '');
        return;
    }
    const now = Date.parse(sample.at);
    const history = sample.history && new Map(Object.entries(sample.history.lag)
        .map(([name, lags]) => [name, lags.map((lag, place) => [sample.history.at[place], lag])]));
    last = sample;
    const changes = queries.update(sample.queries, history, now);
    sources.update(sample.sources);
    drawFrame();
    show(page.token, false);
    setState('live');
    setAttribute(page.connection, 'data-at', sample.at);
    announceChanges(changes);
}

function onState({name, again}) {
    setState(name);
    if (name !== 'locked')
        return;
    setText(page.summary, 'This service asks for a token');
    setText(page.tokenNote, again ? 'That token was not accepted.' : 'It is kept for this tab only.');
    setAttribute(page.tokenValue, 'aria-invalid', again ? 'true' : null);
    show(page.token, true);
    page.tokenValue.focus();
}

const stream = new Stream(onSample, onState);

page.token.addEventListener('submit', event => {
    event.preventDefault();
    stream.token(page.tokenValue.value);
    page.tokenValue.value = '';
});

// The filter: each word has to occur in the name, the status or the reason; and the status is one of those chosen.
function applyFilter() {
    const parts = page.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    queries.accepts = query => (chosen.size === 0 || chosen.has(knownStatus(query.status))) &&
        parts.every(part => `${query.name} ${query.status} ${query.reason ?? ''}`.toLowerCase().includes(part));
    queries.filter();
    if (last)
        drawFrame();
}

function clearFilter() {
    page.filter.value = '';
    chosen.clear();
    for (const chip of page.chips.children)
        setAttribute(chip, 'aria-pressed', 'false');
    applyFilter();
}

for (const status of [...statuses, 'unknown']) {
    const chip = element('button', {type: 'button', class: 'chip', 'aria-pressed': 'false', 'data-status': status},
        shape(), element('span', {}, status), element('span', {class: 'count'}));
    setShape(chip.firstElementChild, status);
    chip.hidden = true;
    chip.addEventListener('click', () => {
        if (!chosen.delete(status))
            chosen.add(status);
        setAttribute(chip, 'aria-pressed', chosen.has(status));
        applyFilter();
    });
    page.chips.append(chip);
}

page.filter.addEventListener('input', applyFilter);
byId('show-all').addEventListener('click', () => {
    clearFilter();
    page.filter.focus();
});
document.addEventListener('keydown', event => {
    if (event.key === '/' && !event.ctrlKey && !event.altKey && !event.metaKey && !event.target.matches('input') && !page.tools.hidden) {
        event.preventDefault();
        page.filter.focus();
        page.filter.select();
    } else if (event.key === 'Escape' && event.target === page.filter) {
        clearFilter();
    }
});

setInterval(drawState, 1000);
drawState();
stream.run();
