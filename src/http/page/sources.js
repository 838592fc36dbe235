// The list of sources: how far each is settled, and who holds it up.

import {element, setAttribute, setText, show} from './dom.js';
import {duration, integer, missing} from './format.js';
import {byName, holders, isHeldUp} from './status.js';

function cell(className, label) {
    return element('td', {class: className, role: 'cell', 'data-label': label});
}

class Row {
    constructor(name) {
        this.events = element('span', {class: 'reason'});
        this.settled = cell('number', 'Settled position');
        this.head = cell('number', 'Head');
        this.hole = cell('number', 'Pending hole');
        this.blocked = cell('c-blocked', 'Held up by');
        this.batches = cell('number', 'Batches');
        this.read = cell('number', 'Events read');
        this.lookups = cell('number', 'Lock look-ups');
        this.node = element('tbody', {role: 'rowgroup'}, element('tr', {role: 'row', class: 'main'},
            element('th', {class: 'c-name', role: 'rowheader', scope: 'row'}, element('bdi', {class: 'name'}, name), this.events),
            this.settled, this.head, this.hole, this.blocked, this.batches, this.read, this.lookups));
    }

    update(source) {
        const by = holders(source);
        setText(this.events, source.events ?? 'the event table is gone');
        setText(this.settled, integer(source.settledPosition));
        setText(this.head, integer(source.headPosition));
        setText(this.hole, integer(source.pendingHole));
        setText(this.blocked, by.length === 0 ? missing
            : `${by.join(', ')}${source.blockedFor === null ? '' : `, for ${duration(source.blockedFor)}`}`);
        setAttribute(this.node, 'data-status', isHeldUp(source) ? 'stalled' : 'ready');
        setText(this.batches, integer(source.batches));
        setText(this.read, integer(source.eventsRead));
        setText(this.lookups, integer(source.lockLookups));
    }
}

export class SourceList {
    constructor(section, table) {
        this.section = section;
        this.table = table;
        this.rows = new Map();
    }

    update(sources) {
        show(this.section, sources.length > 0);
        const gone = new Set(this.rows.keys());
        let added = false;
        for (const source of sources) {
            gone.delete(source.name);
            let row = this.rows.get(source.name);
            if (!row) {
                row = new Row(source.name);
                this.rows.set(source.name, row);
                added = true;
            }
            row.update(source);
        }
        for (const name of gone) {
            this.rows.get(name).node.remove();
            this.rows.delete(name);
        }
        if (added)
            this.table.append(...[...sources].sort(byName).map(source => this.rows.get(source.name).node));
    }
}
