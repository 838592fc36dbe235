// The list of queries: a pair of rows each, what is always visible and the details.
//
// Rows are kept and changed in place. They change their order only when a status changes, and not while somebody is reading or
// stepping through them; the row that has the focus is never moved itself.

import {element, setAttribute, setShape, setText, shape, show} from './dom.js';
import {about, bytes, clock, counted, duration, exactTime, fraction, integer, missing, percent, rate, shortHash, sqlLiteral}
    from './format.js';
import {Graph, History} from './graph.js';
import {advice, byTrouble, knownStatus} from './status.js';

const columnCount = 10;
const calmMs = 4000; // the order is kept for this long after the reader's last move
let counter = 0;

function cell(className, label, ...children) {
    return element('td', {class: className, role: 'cell', 'data-label': label}, ...children);
}

function lines(...nodes) {
    return nodes.map((node, place) => {
        node.classList.add(place === 0 ? 'first' : 'second');
        return node;
    });
}

// A list of terms and values that is filled on each update.
class Facts {
    constructor() {
        this.node = element('dl', {class: 'facts'});
        this.values = new Map();
    }

    set(term, text, title = null) {
        let fact = this.values.get(term);
        if (!fact) {
            const value = element('dd');
            fact = {pair: element('div', {}, element('dt', {}, term), value), value};
            this.values.set(term, fact);
            this.node.append(fact.pair);
        }
        show(fact.pair, text !== null);
        setText(fact.value, text ?? '');
        setAttribute(fact.value, 'title', title);
    }

    wide(term) {
        this.values.get(term).pair.classList.add('wide');
    }
}

function timeText(text) {
    return text ? clock(new Date(text)) : missing;
}

function timeTitle(text) {
    return text ? exactTime(new Date(text)) : null;
}

// How a read of the query is answered now.
function readsOf(query) {
    if (query.served === 'stale')
        return `answered as stale, by generation ${query.servingGeneration}`;
    return query.served === 'ready' ? 'answered' : 'refused';
}

// What a row shows when it is open. Made when it is opened first.
class Details {
    constructor() {
        this.facts = new Facts();
        this.graph = new Graph('large');
        this.highest = element('span', {class: 'highest'});
        this.advice = element('p', {class: 'advice'});
        this.code = element('code');
        this.sql = element('pre', {tabindex: '0', 'aria-label': 'SQL'}, this.code);
        this.node = element('div', {class: 'details-body'},
            element('div', {class: 'next'}, this.advice, this.sql),
            this.facts.node,
            element('figure', {class: 'figure'},
                element('figcaption', {}, 'Lag in events ', this.highest), this.graph.node,
                element('div', {class: 'axis', 'aria-hidden': 'true'}, element('span', {}, '5 minutes ago'), element('span', {}, 'now'))));
    }

    update(query, history, now) {
        const {facts} = this;
        const next = advice(query);
        show(this.node.firstElementChild, next !== null || query.errorSqlstate !== null);
        const statements = [];
        if (query.errorSqlstate !== null && query.errorSqlstate !== undefined)
            statements.push(`SELECT error_message FROM readmodel.status() WHERE name = ${sqlLiteral(query.name)};`);
        if (next?.sql)
            statements.push(next.sql);
        setText(this.advice, next?.text ?? 'The message of the error is shown in SQL:');
        setText(this.code, statements.join('\n'));
        show(this.sql, statements.length > 0);

        const error = [query.errorSqlstate ? `SQLSTATE ${query.errorSqlstate}` : '',
            query.errorPosition !== null && query.errorPosition !== undefined ? `at position ${integer(query.errorPosition)}` : '']
            .filter(Boolean).join(' ');
        facts.set('Last error', error || null);
        facts.wide('Last error');
        facts.set('Position', integer(query.position));
        facts.set('Settled position', integer(query.settledPosition));
        facts.set('Head of the source', integer(query.headPosition));
        facts.set('Lag', query.lag === null ? missing : counted(query.lag, 'event', 'events'));
        facts.set('Lag in time', query.lagSeconds === null ? missing : duration(query.lagSeconds));
        facts.set('Left to do', query.estimatedSecondsRemaining === null || query.status !== 'rebuilding' ? null
            : about(query.estimatedSecondsRemaining), `${rate(query.estimatedSecondsRemaining)} s`);
        facts.set('Rate', query.eventsPerSecond === null ? missing : `${rate(query.eventsPerSecond)} events/s`);
        facts.set('Events applied', integer(query.eventsApplied));
        facts.set('Instances', integer(query.instances));
        facts.set('Size with indexes', bytes(query.bytes), query.bytes === null ? null : counted(query.bytes, 'byte', 'bytes'));
        facts.set('Dead letters', integer(query.deadLetters));
        facts.set('Failures', integer(query.failures));
        facts.set('Rebuild began', timeText(query.rebuildStartedAt), timeTitle(query.rebuildStartedAt));
        facts.set('Ready since', timeText(query.rebuildFinishedAt), timeTitle(query.rebuildFinishedAt));
        facts.set('Generation', integer(query.generation));
        facts.set('Serving generation', `${integer(query.servingGeneration)}${query.servingStatus ? `, ${query.servingStatus}` : ''}`);
        facts.set('Reads', readsOf(query));
        facts.set('Worker', query.workerPid === null ? missing : `pid ${query.workerPid}`);
        facts.set('Definition hash', query.definitionHash);
        facts.wide('Definition hash');
        this.graph.draw(history, now);
        setText(this.highest, history.points.length === 0 ? '' : `(at most ${integer(history.highest)})`);
    }
}

class Row {
    constructor(name) {
        const id = `query-${++counter}`;
        this.history = new History();
        this.name = name;
        this.details = null;

        // The name is the row's button and the row's header.
        this.reason = element('span', {class: 'reason'});
        this.button = element('button', {type: 'button', class: 'toggle', 'aria-expanded': 'false', 'aria-controls': id},
            shape(), element('bdi', {class: 'name'}, name));
        setShape(this.button.firstElementChild, 'open');
        this.shape = shape();
        this.word = element('span', {class: 'word'});
        this.fill = element('span', {class: 'fill'});
        this.bar = element('span', {class: 'bar', role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-label': `Progress of ${name}`},
            this.fill);
        this.progressText = element('span', {class: 'progress-text'});
        this.progressNote = element('span', {class: 'progress-note'});
        this.rate = element('span');
        [this.lag, this.lagSeconds] = lines(element('span'), element('span'));
        this.graph = new Graph('small');
        this.generation = element('span');
        this.hash = element('code', {class: 'hash'});
        this.serving = element('span', {class: 'second serving'});
        this.instances = element('span');
        this.size = element('span');
        this.letters = element('span');

        this.main = element('tr', {role: 'row', class: 'main'},
            element('th', {class: 'c-name', role: 'rowheader', scope: 'row'}, this.button, this.reason),
            cell('c-status', 'Status', this.shape, this.word),
            cell('c-progress', 'Progress', element('span', {class: 'first'}, this.progressText, this.progressNote), this.bar),
            cell('c-rate number', 'Events/s', this.rate),
            cell('c-lag number', 'Lag', this.lag, this.lagSeconds),
            cell('c-graph', 'Lag, 5 min', this.graph.node),
            cell('c-generation', 'Generation', this.generation, ' ', this.hash, this.serving),
            cell('c-instances number', 'Instances', this.instances),
            cell('c-bytes number', 'Size', this.size),
            cell('c-letters number', 'Dead letters', this.letters));
        this.holder = element('td', {role: 'cell', colspan: columnCount});
        this.more = element('tr', {role: 'row', class: 'more', id}, this.holder);
        this.more.hidden = true;
        this.node = element('tbody', {role: 'rowgroup'}, this.main, this.more);
        this.button.addEventListener('click', () => this.toggle());
    }

    get open() {
        return !this.more.hidden;
    }

    toggle() {
        if (!this.details) {
            this.details = new Details();
            this.holder.append(this.details.node);
        }
        show(this.more, !this.open);
        setAttribute(this.button, 'aria-expanded', this.open);
        this.node.classList.toggle('open', this.open);
        if (this.open && this.query)
            this.details.update(this.query, this.history, this.now);
    }

    update(query, now) {
        this.query = query;
        this.now = now;
        const known = knownStatus(query.status);
        setAttribute(this.node, 'data-status', known);
        setShape(this.shape, known);
        setText(this.word, query.status);
        setText(this.reason, query.reason ?? '');
        show(this.reason, Boolean(query.reason));
        this.updateProgress(query);
        setText(this.rate, rate(query.eventsPerSecond));
        setText(this.lag, integer(query.lag));
        setText(this.lagSeconds, query.lag === null || Number(query.lag) === 0 || query.lagSeconds === null ? '' : duration(query.lagSeconds));
        this.graph.draw(this.history, now);
        setText(this.generation, integer(query.generation));
        setText(this.hash, shortHash(query.definitionHash));
        setAttribute(this.hash, 'title', query.definitionHash);
        const another = query.servingGeneration !== null && query.servingGeneration !== query.generation;
        setText(this.serving, another ? `${query.servingGeneration} serves (${query.servingStatus})` : '');
        show(this.serving, another);
        setText(this.instances, integer(query.instances));
        setText(this.size, bytes(query.bytes));
        setAttribute(this.size, 'title', query.bytes === null ? null : counted(query.bytes, 'byte', 'bytes'));
        setText(this.letters, integer(query.deadLetters));
        this.letters.classList.toggle('some', Number(query.deadLetters) > 0);
        if (this.open)
            this.details.update(query, this.history, now);
    }

    updateProgress(query) {
        const part = fraction(query.position, query.headPosition);
        const estimate = query.estimatedSecondsRemaining;
        const done = part === null ? missing : percent(query.status === 'rebuilding' ? Math.min(part, 0.99) : part);
        const left = query.status === 'rebuilding' && estimate !== null ? `${about(estimate)} left` : '';
        const there = part === 1 && query.status !== 'rebuilding';
        setText(this.progressText, there ? integer(query.position) : done);
        setText(this.progressNote, there ? '' : left || (part === null ? 'no position yet' : `at ${integer(query.position)}`));
        this.fill.style.transform = `scaleX(${part ?? 0})`;
        setAttribute(this.bar, 'aria-valuenow', part === null ? null : Math.floor(part * 100));
        setAttribute(this.bar, 'aria-valuetext', part === null ? 'not known'
            : `${done}, position ${integer(query.position)} of ${integer(query.headPosition)}${left ? `, ${left}` : ''}`);
        setAttribute(this.bar, 'title', `position ${integer(query.position)} of ${integer(query.headPosition)}`);
    }
}

export class QueryList {
    constructor(table) {
        this.table = table;
        this.rows = new Map();
        this.accepts = () => true;
        this.calmAt = 0;
        const busy = () => { this.calmAt = Date.now() + calmMs; };
        for (const event of ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchmove'])
            table.addEventListener(event, busy, {passive: true});
        table.addEventListener('keydown', event => this.step(event));
    }

    // Returns what changed its status since the last time, none of it the first time.
    update(queries, history, now) {
        const changes = [];
        const first = this.rows.size === 0;
        const gone = new Set(this.rows.keys());
        for (const query of queries) {
            gone.delete(query.name);
            let row = this.rows.get(query.name);
            if (!row) {
                row = new Row(query.name);
                this.rows.set(query.name, row);
                this.table.append(row.node);
                if (!first)
                    changes.push(query);
            } else if (row.query.status !== query.status) {
                changes.push(query);
            }
            const past = history?.get(query.name);
            if (past)
                row.history.insert(past, now);
            row.history.add(now, query.lag);
            row.update(query, now);
        }
        for (const name of gone) {
            this.rows.get(name).node.remove();
            this.rows.delete(name);
        }
        this.filter();
        this.sort(first);
        return changes;
    }

    filter() {
        let shown = 0;
        for (const row of this.rows.values()) {
            const visible = this.accepts(row.query);
            show(row.node, visible);
            shown += visible;
        }
        this.shown = shown;
    }

    sort(atOnce) {
        const wanted = [...this.rows.values()].sort((a, b) => byTrouble(a.query, b.query)).map(row => row.node);
        const present = [...this.table.tBodies];
        if (wanted.every((node, place) => node === present[place]))
            return;
        if (!atOnce && Date.now() < this.calmAt)
            return;
        const focused = wanted.findIndex(node => node.contains(document.activeElement));
        if (focused < 0) {
            this.table.append(...wanted);
            return;
        }
        // Around the row that has the focus, which also stays where it is on the screen.
        const node = wanted[focused];
        const before = node.getBoundingClientRect().top;
        for (const other of wanted.slice(0, focused))
            this.table.insertBefore(other, node);
        this.table.append(...wanted.slice(focused + 1));
        window.scrollBy(0, node.getBoundingClientRect().top - before);
    }

    // The arrow keys go from name to name.
    step(event) {
        if (!event.target.classList.contains('toggle'))
            return;
        const buttons = [...this.table.querySelectorAll('tbody:not([hidden]) .toggle')];
        const place = buttons.indexOf(event.target);
        const next = {ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: buttons.length - 1}[event.key];
        if (next === undefined || event.ctrlKey || event.altKey || event.metaKey)
            return;
        event.preventDefault();
        buttons[Math.min(buttons.length - 1, Math.max(0, next))].focus();
    }
}
