/*
 * The proofs that "no event is skipped and none is applied twice" rests on, for spin to go through in every order of steps:
 *   - the settled position: src/source/settled_position.{hpp,cpp}, Lane::fold_settled;
 *   - the floor of a guarded source: src/source/{position_floor,position_guard}.{hpp,cpp};
 *   - the handover from a rebuild lane to the tail: src/worker/{rebuild_worker,tail_assignment,tail_worker,lane}.cpp.
 * Writers, the tail worker and the rebuild worker are processes. Each `atomic` below is one step that the code does in one piece as
 * far as anybody else can see; whatever is not inside one can be interrupted by everybody. The inlines are named for the C++.
 *
 * What is kept small, and why that loses nothing:
 *   - A position is a number, a set of positions a mask of bits. 0 is "nothing yet" (NULL in the catalog, an empty MaybePosition in
 *     the code), 1 is one less than the sequence's first number, which is 2. So 0 < 1 < 2 .. is source::before().
 *   - A writer is one transaction. A session that begins another is another writer: holders are virtual transactions in the code,
 *     never sessions, so that nothing tells the two apart. A writer that crashes is a writer that rolls back.
 *   - A snapshot is the set of what is committed. Taking one is one step, as ProcArrayLock makes it.
 *   - A transaction of a worker that commits is one step: the row lock of the compare-and-set keeps a second one out between the
 *     comparison and the commit. What a worker folds is its own until then.
 *   - Looking up who holds a lock is NOT one step: the server goes through its lock tables one by one, here writer by writer.
 *   - Testing whether the holders have ended is one step: who has ended stays so, and a test that finds one still there fails
 *     whatever it finds of the others.
 *   - States are the set of events that were applied to them. That a state row is only written forward is a second net, left out.
 *   - Times are left out: whatever a clock decides (when to write, when to look again, when to load) may happen at any time.
 *
 * The parts that are switched on (run.sh says which are checked together):
 *   REBUILD    a second generation, which begins in a rebuild lane
 *   SECOND     a second worker does what the tail does, at the same time: a stale one, or catch_up, which does less of the same
 *   SESSION    no worker at all, only a session that catches up
 *   IDLE       the tail may let go of the live generation and take it up again: in between it settles without reading
 *   GUARDED    settle => 'guarded': every insert goes through the trigger, and positions can be given by hand
 *   ONE_EVENT  with GUARDED: a writer inserts no more than one event
 *   RESTARTS   how often a worker may be killed, at any step: its memory is lost
 *   CRASHES    how often the server may crash, at any step: shared memory, locks and open transactions are lost
 *              too; not with REBUILD
 * BROKEN_.. takes out one line of the code each, which is named where it is used; spin has to find what the line is there for.
 */

#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef POSITIONS
#define POSITIONS 4
#endif
#ifndef PAGE
#define PAGE 2           /* readmodel.batch_size */
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif

#ifdef REBUILD
#define GENERATIONS 2
#else
#define GENERATIONS 1
#endif
#ifdef SECOND
#define TAILS 2
#else
#define TAILS 1
#endif
#define REBUILDER TAILS  /* the rebuild worker's number among the workers */
#define WORKERS   (TAILS + 1)

#define NOTHING 0
#define FIRST   2
#define LAST    (FIRST + POSITIONS - 1)
#define BIT(p)  (1 << (p))
#define UPTO(p) ((1 << ((p) + 1)) - 1)

/* For printf: which of the positions 2, 3, 4, 5 are in a set. */
#define IN(set, p)       (((set) & BIT(p)) != 0 -> p : 0)
#define POSITIONS_OF(set) IN(set, 2), IN(set, 3), IN(set, 4), IN(set, 5)

/* --- The server ---------------------------------------------------------------------------------------------------------- */

byte last_drawn = FIRST - 1;   /* the sequence: last_value */
byte committed;                /* the event table, as a new snapshot shows it */
byte taken;                    /* the unique index on the position: committed, or inserted by an open transaction */
byte holds;                    /* writers that hold RowExclusiveLock on the sequence */
byte open_writers = WRITERS;   /* that have not ended */
byte doomed;                   /* writers that a crash of the server has ended */

/* The catalog, one row a generation: the checkpoint, and the states as the events that are in them. */
byte checkpoint[GENERATIONS];
byte applied[GENERATIONS];

/* Shared memory: lost when the server crashes, kept when a worker ends. */
#define in_tail     0
#define rebuilding  1
#define handed_over 2
byte published;                /* SourceSlot::settled */
byte assignment[GENERATIONS];  /* GenerationSlot::assignment; none and tail are the same to the tail */
#ifdef GUARDED                 /* SourceSlot, see source/position_floor.hpp */
byte shown_floor;              /* nobody may insert at or below it .. */
byte marked;                   /* .. or at or below the H of a mark, but for its holders: */
byte marked_before;            /* what was marked before the last mark */
byte holder_floor[WRITERS];    /* and so much of it holds for a holder of the last mark; 0: is none */
#endif

/* --- The workers' memory: lost when they end ----------------------------------------------------------------------------- */

typedef Lane                   /* a Member each */
{
    byte stored[GENERATIONS];
    byte cursor[GENERATIONS];
    byte batch[GENERATIONS];   /* events that were folded since `stored` */
    byte member;               /* which generations are in the lane */
}
typedef SettledPosition
{
    byte edge;
    byte proven;
    /* The pending marks, oldest first: H, 0 if there is none, and who could still write at or below it. The code keeps 16. */
    byte high[2];
    byte holders[2];
}
Lane lane[WORKERS];
SettledPosition settled[TAILS];
byte incarnation[WORKERS];     /* counts how often each was killed */

/* --- The properties ------------------------------------------------------------------------------------------------------ */

byte g_;                       /* scratch of single steps, 0 in between */

/* Nobody commits at or below what anybody called settled, or a checkpoint has passed. */
inline assert_not_late(positions)
{
    do
    :: g_ < TAILS -> assert((positions & UPTO(settled[g_].edge)) == 0); g_++
    :: else -> break
    od;
    assert((positions & UPTO(published)) == 0);
    g_ = 0;
    do
    :: g_ < GENERATIONS -> assert((positions & UPTO(checkpoint[g_])) == 0); g_++
    :: else -> break
    od;
    g_ = 0
}

/* A generation has applied every event up to its checkpoint, and nothing else. With assert_not_late() this says that none is
   skipped. None is applied twice: assert_once(). */
#define assert_complete(g) assert(applied[g] == (committed & UPTO(checkpoint[g])))
#define assert_once(done, more) assert(((done) & (more)) == 0)

#define no_mark    0
#define new_mark   1
#define maybe_mark 2

/* --- Writers ------------------------------------------------------------------------------------------------------------- */

byte begun;                    /* writers begin in the order of their numbers: which is which makes no difference */

#define may_begin (begun >= w)

inline begin(w)
{
    begun = (begun == w -> w + 1 : begun)
}

/* RowExclusiveLock on the sequence, kept to the end of the transaction. */
inline lock_sequence(w)
{
    holds = holds | BIT(w); printf("writer %d: locks the sequence\n", w)
}

/* nextval() hands out a number only to who has the lock. */
inline nextval(w)
{
    (holds & BIT(w)) && last_drawn < LAST -> last_drawn++; p = last_drawn; printf("writer %d: draws %d\n", w, p)
}

#ifdef GUARDED
/* The trigger of a guarded source, position_guard.cpp. The floor that is found first is the transaction's to the end: a mark that
   is taken later has it as a holder. The order matters: the worker announces H and then looks who holds the lock; we take the lock and
   then look for H. One of the two sees the other. */
inline floor_of(w)
{
    own_floor = (since_earlier && holder_floor[w] != NOTHING -> holder_floor[w] : marked);
    own_floor = (own_floor < shown_floor -> shown_floor : own_floor);
    printf("writer %d: finds the floor %d\n", w, own_floor)
}

/* Nothing is known after a start of the server: what is stored is the floor. 1 stands for none. */
inline stored_floor(w)
{
    own_floor = FIRST - 1;
#ifndef BROKEN_NO_STORED_FLOOR  /* position_guard.cpp, find_floor(): stored_floor() */
    own_floor = (own_floor < checkpoint[0] -> checkpoint[0] : own_floor);
#endif
    printf("writer %d: takes what is stored for the floor: %d\n", w, own_floor)
}

inline find_floor(w)
{
    atomic { own_floor == NOTHING && may_begin -> begin(w); since_earlier = (holds & BIT(w)) != 0 };
#ifdef BROKEN_FLOOR_BEFORE_LOCK   /* position_guard.cpp, find_floor(): lock_sequence() before floor_of() */
    atomic { floor_of(w) };
    atomic { lock_sequence(w) };
#else
    atomic { lock_sequence(w) };
    atomic { floor_of(w); since_earlier = false };
#endif
    if
    :: atomic { own_floor == NOTHING -> stored_floor(w) }
    :: own_floor != NOTHING
    fi
}

/* A position above the last number is drawn, so that the sequence does not come to it. */
inline draw_up_to()
{
    if
    :: last_drawn < p -> last_drawn = p
    :: else
    fi
}
#endif

#ifdef ONE_EVENT
#define may_insert (mine == 0)
#else
#define may_insert true
#endif

/* The index on the position is unique. Who meets another waits for its end, and then fails or is as one that inserts later. */
#if defined(BROKEN_NOT_UNIQUE) || !defined(GUARDED) /* source_checks.cpp, check_guard(): is_unique() */
#define position_is_free true
#else
#define position_is_free !(taken & BIT(p))
#endif

/* A statement that fails changes nothing: the transaction goes on from a savepoint, or rolls back. */
inline insert(w)
{
    if
    :: position_is_free -> taken = taken | BIT(p); mine = mine | BIT(p); printf("writer %d: inserts %d\n", w, p)
    :: else -> printf("writer %d: cannot insert %d\n", w, p)
    fi;
    p = NOTHING
}

/* With the lock gone the transaction has ended, for whoever asks: a mark's holders are those who have not. */
inline release_locks(w)
{
    holds = holds & ~BIT(w);
    settled[0].holders[0] = settled[0].holders[0] & holds; settled[0].holders[1] = settled[0].holders[1] & holds;
#ifdef SECOND
    settled[1].holders[0] = settled[1].holders[0] & holds; settled[1].holders[1] = settled[1].holders[1] & holds;
#endif
#ifdef GUARDED
    holder_floor[w] = NOTHING; /* nobody else asks for it */
#endif
    printf("writer %d: releases its locks\n", w)
}

inline commit(w)
{
    assert_not_late(mine); committed = committed | mine; mine = 0; printf("writer %d: commits\n", w)
}

inline roll_back(w)
{
    taken = taken & ~mine; mine = 0; release_locks(w); open_writers--; printf("writer %d: rolls back\n", w)
}

inline choose_position()
{
    p = FIRST;
    do
    :: p < LAST -> p++
    :: break
    od
}

proctype Writer(byte w)
{
    byte mine, p;
#ifdef GUARDED
    byte own_floor;
    bool since_earlier;

    {
        do
        /* nextval() in a statement of its own. What it draws can be given by hand later. */
        :: atomic { !(holds & BIT(w)) && may_begin -> begin(w); lock_sequence(w) }
        :: atomic { nextval(w); p = NOTHING }
        :: find_floor(w)
        /* The position is drawn by the insert itself: never refused. */
        :: atomic { own_floor != NOTHING && may_insert && last_drawn < LAST -> nextval(w); assert(p > own_floor); insert(w) }
        /* The position is given. */
        :: atomic
           {
               own_floor != NOTHING && may_insert ->
               choose_position();
               if
               :: p > own_floor -> draw_up_to(); insert(w)
               :: else -> p = NOTHING
               fi
           }
#ifdef BROKEN_LOCK_OF_SAVEPOINT   /* position_guard.cpp, lock_sequence(): TopTransactionResourceOwner */
        :: atomic { own_floor != NOTHING && mine == 0 -> holds = holds & ~BIT(w); printf("writer %d: rolls back to a savepoint\n", w) }
#endif
#else
    {
        atomic { may_begin -> begin(w); lock_sequence(w) };
        do
        /* A number that was drawn need not be used. */
        :: atomic { nextval(w); if :: insert(w) :: p = NOTHING fi }
#endif
        /* CommitTransaction(): visible to new snapshots first (ProcArrayEndTransaction), then the locks are released. */
#ifdef BROKEN_LOCK_RELEASED_FIRST /* F1 of settled_position.hpp, which the server keeps */
        :: atomic { mine != 0 -> release_locks(w) };
           atomic { commit(w); open_writers--; break }
#else
        :: atomic { mine != 0 -> commit(w) };
           atomic { release_locks(w); open_writers--; break }
#endif
        :: atomic { begun > w -> roll_back(w); break }
        od
    }
#if CRASHES > 0
    unless { atomic { (doomed & BIT(w)) -> open_writers--; mine = 0; p = 0 } };
#endif
#ifdef GUARDED
    atomic { own_floor = 0; since_earlier = false }
#endif
}

/* --- SettledPosition ----------------------------------------------------------------------------------------------------- */

#define S settled[me]
#define L lane[me]

inline drop_older_mark()
{
    S.high[0] = S.high[1]; S.holders[0] = S.holders[1]; S.high[1] = NOTHING; S.holders[1] = 0
}

inline raise_edge(position)
{
    if
    :: S.edge < position -> S.edge = position
    :: else
    fi;
    do
    :: S.high[0] != NOTHING && S.high[0] <= S.edge -> drop_older_mark()
    :: else -> break
    od;
    if
    :: S.proven <= S.edge -> S.proven = NOTHING /* it says nothing more; the code lets it stand */
    :: else
    fi
}

inline prove(position)
{
    if
    :: S.proven < position -> S.proven = position; printf("worker %d: %d is proved\n", me, position)
    :: else
    fi
}

/* Has a holder ended? Its lock is gone, and what it did is visible. */
inline refresh()
{
    if
    :: S.high[1] != NOTHING && S.holders[1] == 0 -> prove(S.high[1]); drop_older_mark(); drop_older_mark()
    :: else
    fi;
    if
    :: S.high[0] != NOTHING && S.holders[0] == 0 -> prove(S.high[0]); drop_older_mark()
    :: else
    fi;
    /* Nobody but the holders of the older mark is left of the younger one. */
    if
    :: S.high[1] != NOTHING && (S.holders[1] & ~S.holders[0]) == 0 -> drop_older_mark()
    :: else
    fi
}

inline read_last_drawn()
{
    high = last_drawn; printf("worker %d: H is %d\n", me, high)
}

#ifdef GUARDED
/* LockWitness::announce(): H, and what is settled already. A session that catches up shows no holders. */
#ifdef SESSION
#define is_tail false
#else
#define is_tail (me == 0)
#endif

inline announce()
{
    marked_before = (is_tail -> (marked == NOTHING -> FIRST - 1 : marked) : marked_before);
    marked = (is_tail && marked < high -> high : marked);
    shown_floor = (!is_tail && shown_floor < high -> high : shown_floor);
    printf("worker %d: announces %d\n", me, high)
}

/* announce_holders(): who is a holder of an earlier mark already keeps the floor of that one. */
inline show_holder(w)
{
    if
    :: !(found & BIT(w)) || !(holds & BIT(w)) -> holder_floor[w] = NOTHING /* who has ended does not ask */
    :: else ->
#ifdef BROKEN_NO_FLOOR_OF_HOLDER  /* position_floor.cpp, announce_holders(): slot.marked_before */
        holder_floor[w] = FIRST - 1
#else
        holder_floor[w] = (holder_floor[w] == NOTHING -> marked_before : holder_floor[w])
#endif
    fi
}

inline announce_holders()
{
    if
    :: is_tail ->
        show_holder(0);
#if WRITERS > 1
        show_holder(1);
#endif
#if WRITERS > 2
        show_holder(2);
#endif
        marked_before = NOTHING
    :: else
    fi
}

inline raise_floor(position)
{
    if
    :: shown_floor < position -> shown_floor = position
    :: else
    fi
}
#endif

/* GetLockConflicts(): the lock tables one by one, in any order. */
inline collect_holders()
{
    do
    :: atomic { !(asked & BIT(0)) -> asked = asked | BIT(0); found = found | (holds & BIT(0)) }
#if WRITERS > 1
    :: atomic { !(asked & BIT(1)) -> asked = asked | BIT(1); found = found | (holds & BIT(1)) }
#endif
#if WRITERS > 2
    :: atomic { !(asked & BIT(2)) -> asked = asked | BIT(2); found = found | (holds & BIT(2)) }
#endif
    :: atomic { asked == (1 << WRITERS) - 1 -> asked = 0; 
                printf("worker %d: finds holders: %d\n", me, (found & 1) + ((found >> 1) & 1) + ((found >> 2) & 1)); break }
    od
}

/* read_again: nobody holds the lock, H is proved at once. */
inline take_mark()
{
#ifdef BROKEN_HOLDERS_BEFORE_HIGH  /* settled_position.cpp, take_mark(): last_drawn() before holders() */
    collect_holders();
    atomic { read_last_drawn() };
#elif defined(BROKEN_ANNOUNCED_AFTER_HOLDERS) /* settled_position.cpp, take_mark(): announce() before holders() */
    atomic { read_last_drawn() };
    collect_holders();
    atomic { announce() };
#elif defined(GUARDED)
    atomic { read_last_drawn() };
    atomic { announce() };
    collect_holders();
    atomic { announce_holders() };
#else
    atomic { read_last_drawn() };
    collect_holders();
#endif
    atomic
    {
        if
        :: found == 0 ->
            read_again = true;
            prove(high);
            S.high[0] = NOTHING; S.holders[0] = 0; S.high[1] = NOTHING; S.holders[1] = 0
        :: else ->
            n = (S.high[0] == NOTHING -> 0 : 1);
            S.high[n] = high; S.holders[n] = found & holds; /* who has ended meanwhile is found to have at the next test */
            n = 0
        fi;
        high = 0; found = 0
    }
}

/* Which of the positions in `page` may be applied, and is a mark needed? Nobody else is asked: one step. How often the last mark
   was tested is left out: another is taken beside it at any time, or never. */
inline judge()
{
    d_step
    {
        ok = 0; hole = NOTHING; last = NOTHING; p_ = FIRST;
        do
        :: p_ <= LAST ->
            if
            :: (page & BIT(p_)) ->
                last = p_;
                if
                :: hole == NOTHING && S.proven != NOTHING && S.proven < p_ -> raise_edge(S.proven) /* reach_proof() */
                :: else
                fi;
                if
#ifdef BROKEN_RUN_OVER_HOLES      /* settled_position.cpp, judge(): `next` */
                :: hole == NOTHING && (S.edge != NOTHING || p_ <= S.proven) -> raise_edge(p_); ok = ok | BIT(p_)
#else
                :: hole == NOTHING && (p_ <= S.edge || p_ == S.edge + 1 || p_ <= S.proven) ->
                    raise_edge(p_); ok = ok | BIT(p_)
#endif
                :: else -> hole = (hole == NOTHING -> p_ : hole) /* before this one */
                fi
            :: else
            fi;
            p_++
        :: else -> break
        od;
        p_ = 0;
        if
        :: ok == page && exhausted -> raise_edge(S.proven)
        :: else
        fi;
        caught_up = exhausted || ok != page;
        if
        :: ok == page && (S.edge != NOTHING || !exhausted) -> needs_mark = no_mark
        :: else ->
            p_ = (S.high[1] == NOTHING -> S.high[0] : S.high[1]); /* H of the youngest */
            if
            :: p_ == NOTHING || (ok != page && hole > p_) -> needs_mark = new_mark
            :: ok == page || last <= p_ || S.high[1] != NOTHING -> needs_mark = no_mark
            :: else -> needs_mark = maybe_mark
            fi;
            if
            :: needs_mark != no_mark && S.high[1] != NOTHING -> S.high[1] = NOTHING; S.holders[1] = 0 /* there is no room for it */
            :: else
            fi;
            p_ = 0
        fi;
        hole = 0; last = 0;
#ifndef BROKEN_SAME_SNAPSHOT
        page = ok; ok = 0; exhausted = false
#endif
    }
}

inline settle_unread()
{
    atomic
    {
        refresh();
        if
        :: S.high[0] == NOTHING && S.edge < last_drawn
        :: S.high[0] != NOTHING && S.high[1] == NOTHING && S.high[0] < last_drawn
        :: else -> goto settled_unread
        fi
    };
    take_mark();
settled_unread:
    read_again = false;
    raise_edge(S.proven)
}

/* --- Lane ---------------------------------------------------------------------------------------------------------------- */

#define has(g) (L.member & BIT(g))

/* Lane::cursor(): the smallest of the members'. */
#if GENERATIONS == 1
#define CURSOR L.cursor[0]
#else
#define SMALLER (L.cursor[0] < L.cursor[1] -> L.cursor[0] : L.cursor[1])
#define CURSOR  (L.member == 1 -> L.cursor[0] : (L.member == 2 -> L.cursor[1] : SMALLER))
#endif

inline add_member(g, position)
{
    L.member = L.member | BIT(g); L.stored[g] = position; L.cursor[g] = position; L.batch[g] = 0
}

inline take_snapshot()
{
    snapshot = committed; printf("worker %d: takes a snapshot: %d%d%d%d\n", me, POSITIONS_OF(snapshot))
}

/* EventReader::read(): the first PAGE events above the lane's cursor and at or below `up_to`, under the snapshot. */
inline read(up_to)
{
    d_step
    {
        page = 0; count = 0;
        p_ = CURSOR;
        p_ = (p_ < FIRST -> FIRST : p_ + 1);
        do
        :: p_ > up_to || count == PAGE -> break
        :: else ->
            if
            :: (snapshot & BIT(p_)) -> page = page | BIT(p_); count++
            :: else
            fi;
            p_++
        od;
        exhausted = count < PAGE; p_ = 0; count = 0; snapshot = 0
    }
}

/* Lane::fold(): each member takes what lies after its own cursor. */
inline fold(settled_position)
{
    d_step
    {
        do
        :: g_ < GENERATIONS ->
            if
            :: has(g_) ->
#ifdef BROKEN_WHOLE_PAGE          /* query/fold.cpp, select(): `positions[at] <= *cursor` */
                assert_once(L.batch[g_], page);
                L.batch[g_] = L.batch[g_] | page;
#else
                assert_once(L.batch[g_], page & ~UPTO(L.cursor[g_]));
                L.batch[g_] = L.batch[g_] | (page & ~UPTO(L.cursor[g_]));
#endif
                p_ = LAST;
                do
                :: p_ > L.cursor[g_] && !(page & BIT(p_)) -> p_--
                :: else -> break
                od;
                if
                :: p_ > L.cursor[g_] -> L.cursor[g_] = p_
                :: else
                fi;
                /* Dead holes after the last event are passed over too; who has seen nothing stays at nothing. */
                if
                :: caught_up && L.cursor[g_] != NOTHING && L.cursor[g_] < settled_position -> L.cursor[g_] = settled_position
                :: else
                fi
            :: else
            fi;
            g_++
        :: else -> break
        od;
        g_ = 0; p_ = 0; page = 0
    }
}

/* Lane::flush() and the commit. The members' checkpoints move together, or the lane is abandoned and who lost leaves it. */
#define unflushed(g) (has(g) && L.cursor[g] != L.stored[g] && (everything || L.batch[g] != 0))

inline flush()
{
    d_step
    {
        lost = 0;
#ifndef BROKEN_NOT_COMPARED       /* query/checkpoint.cpp, move_checkpoint(): `IS NOT DISTINCT FROM` */
        do
        :: g_ < GENERATIONS ->
            if
            :: unflushed(g_) && checkpoint[g_] != L.stored[g_] -> lost = lost | BIT(g_)
            :: else
            fi;
            g_++
        :: else -> break
        od;
        g_ = 0;
#endif
        do
        :: g_ < GENERATIONS ->
            if
            :: lost == 0 && unflushed(g_) ->
                printf("worker %d: generation %d goes from %d to %d and applies %d%d%d%d\n",
                       me, g_, L.stored[g_], L.cursor[g_], POSITIONS_OF(L.batch[g_]));
                assert_once(applied[g_], L.batch[g_]);
                applied[g_] = applied[g_] | L.batch[g_];
                checkpoint[g_] = L.cursor[g_];
                assert_complete(g_);
                L.stored[g_] = L.cursor[g_];
                L.batch[g_] = 0
            :: lost != 0 && has(g_) ->
                printf("worker %d: lost the checkpoint\n", me);
                L.cursor[g_] = (lost & BIT(g_) -> 0 : L.stored[g_]);
                L.stored[g_] = L.cursor[g_];
                L.batch[g_] = 0
            :: else
            fi;
            g_++
        :: else -> break
        od;
        g_ = 0;
        L.member = L.member & ~lost;
        lost_any = lost != 0;
        lost = 0
    }
}

/* --- The tail worker ----------------------------------------------------------------------------------------------------- */

byte late_steps;               /* of the tails, since the last writer has ended */
#ifndef MOST_LATE_STEPS
#define MOST_LATE_STEPS 8
#endif

/* Once nobody is left who could write, the tail is soon at the end: it does not stall on a hole. */
inline count_late_step()
{
    if
    :: open_writers == 0 -> late_steps++; assert(late_steps <= MOST_LATE_STEPS * TAILS)
    :: else
    fi
}

inline publish()
{
#ifdef GUARDED
    if
    :: is_tail -> raise_floor(S.edge)
    :: else
    fi;
#endif
    if
#ifdef SESSION
    :: false
#else
    :: published != S.edge -> published = S.edge; printf("worker %d: publishes %d\n", me, published)
#endif
    :: else
    fi
}

/* reload(): the catalog is read under one snapshot, shared memory after it. A generation that was handed over in between comes
   with an old checkpoint; the compare-and-set finds out. */
inline load_generations()
{
    loaded[0] = checkpoint[0];
#if GENERATIONS == 2
    loaded[1] = checkpoint[1]
#endif
}

inline adopt_sources()
{
    if
    :: !knows_source ->
        /* A stored checkpoint was settled when it was stored. */
        knows_source = true;
        S.edge = loaded[0];
#if GENERATIONS == 2
        S.edge = (loaded[1] > S.edge -> loaded[1] : S.edge);
#endif
        printf("worker %d: begins at %d\n", me, S.edge);
        publish()
    :: else
    fi
}

inline assign()
{
    do
    :: g_ < GENERATIONS ->
        if
        :: !has(g_) && assignment[g_] != rebuilding ->
            assignment[g_] = in_tail; add_member(g_, loaded[g_]);
            printf("worker %d: adopts generation %d at %d\n", me, g_, loaded[g_])
        :: else
        fi;
        loaded[g_] = 0;
        g_++
    :: else -> g_ = 0; break
    od
}

#if GENERATIONS == 1
#define to_adopt (!has(0))
#define to_flush (has(0) && L.stored[0] != L.cursor[0])
#define folded   (L.batch[0] != 0)
#else
#define to_adopt ((!has(0) && assignment[0] != rebuilding) || (!has(1) && assignment[1] != rebuilding))
#define to_flush ((has(0) && L.stored[0] != L.cursor[0]) || (has(1) && L.stored[1] != L.cursor[1]))
#define folded   (L.batch[0] != 0 || L.batch[1] != 0)
#endif

/* Something may be handed over between the two steps of a reload. */
#if GENERATIONS == 1
#define to_look_again false
#else
#define to_look_again (L.member != 3 && published != NOTHING)
#endif

/* Whether a step can change anything. The worker makes steps without that too, which then do not. */
#define to_settle (L.member == 0 && S.edge < last_drawn)
#define to_read   ((committed & ~UPTO(CURSOR)) != 0 || (CURSOR != NOTHING && CURSOR < S.edge))
#define to_step   (L.member != 0 && (S.high[0] != NOTHING || S.edge == NOTHING || to_read || to_flush))

proctype Tail(byte me)
{
    byte alive, snapshot, page, ok, hole, count, high, asked, found, lost, last, n, needs_mark, p_;
    byte loaded[GENERATIONS];
    bool knows_source, exhausted, read_again, caught_up, everything, lost_any;

start:
    alive = incarnation[me];
    {
end:    do
        /* reload() */
        :: atomic { !knows_source || to_adopt || to_look_again -> load_generations() };
           atomic { adopt_sources(); assign() }

        /* settle_only() */
        :: atomic { knows_source && to_settle };
           settle_unread();
           atomic { publish(); count_late_step() }

        /* step_lane(): begin; fold_settled() .. */
        :: atomic
           {
               knows_source && to_step;
#ifdef BROKEN_SNAPSHOT_BEFORE_TEST /* lane.cpp, fold_settled(): `settled.refresh(witness)` above the snapshot */
               take_snapshot()
#else
               refresh();
               n = CURSOR; raise_edge(n); n = 0 /* settle_up_to() */
#endif
           };
           atomic
           {
#ifdef BROKEN_SNAPSHOT_BEFORE_TEST
               refresh();
               n = CURSOR; raise_edge(n); n = 0;
#else
               take_snapshot();
#endif
read_page:
               read(LAST);
               judge();
               if
               :: needs_mark != no_mark -> needs_mark = no_mark
               :: needs_mark != new_mark -> needs_mark = no_mark; goto fold_page
               fi
           };
           take_mark();
           atomic
           {
#ifdef BROKEN_SAME_SNAPSHOT       /* lane.cpp, fold_settled(): `verdict.read_again` */
               if
               :: read_again -> judge()
               :: else
               fi
#else
               if
               :: read_again -> read_again = false; caught_up = false; take_snapshot(); goto read_page
               :: read_again -> caught_up = false /* with the next step */
               :: !read_again
               fi
#endif
           };
           /* .. fold(), flush(), commit .. */
fold_page:
           atomic
           {
#ifdef BROKEN_SAME_SNAPSHOT
               page = ok; ok = 0; exhausted = false; needs_mark = no_mark;
#endif
               fold(S.edge);
               if
               :: folded || to_flush -> everything = true; flush(); everything = false
               :: to_flush && folded && open_writers > 0 -> flush()                       /* with nothing folded: lazily */
               :: to_flush && (!folded || !(caught_up || read_again)) && open_writers > 0 /* not now */
               :: else
               fi;
               caught_up = false; read_again = false; lost_any = false
           };
           /* .. publish() */
           atomic { publish(); count_late_step() }
#ifdef IDLE
        :: atomic
           {
               knows_source && has(0) && !to_flush && open_writers > 0 ->
               L.member = L.member & ~BIT(0); L.cursor[0] = 0; L.stored[0] = 0;
               printf("worker %d: lets go of generation 0\n", me)
           }
#endif
        od
    }
#if RESTARTS > 0 || CRASHES > 0
    unless
    {
        atomic
        {
            incarnation[me] != alive ->
            snapshot = 0; page = 0; ok = 0; hole = 0; count = 0; high = 0; asked = 0; found = 0; lost = 0; last = 0; n = 0; p_ = 0;
            loaded[0] = 0;
#if GENERATIONS == 2
            loaded[1] = 0;
#endif
            knows_source = false; exhausted = false; needs_mark = 0; read_again = false; caught_up = false;
            everything = false; lost_any = false;
            goto start
        }
    }
#endif
}

/* --- The rebuild worker -------------------------------------------------------------------------------------------------- */

#ifdef REBUILD
proctype Rebuild()
{
    byte me = REBUILDER;
    byte alive, snapshot, page, count, seen, lost, p_;
    bool exhausted, caught_up, everything = true, lost_any;

start:
    alive = incarnation[me];
    {
        /* load() */
        atomic
        {
            if
            :: assignment[1] == rebuilding ->
                add_member(1, checkpoint[1]); printf("worker %d: rebuilds from %d\n", me, checkpoint[1])
            :: else -> goto ended
            fi
        };
        /* work() */
end:    do
        :: atomic
           {
               published != NOTHING ->
#ifdef BROKEN_SNAPSHOT_BEFORE_PUBLISHED /* rebuild_worker.cpp, work(): source_snapshot() before fold_page() */
               take_snapshot()
#else
               seen = published; printf("worker %d: may go to %d\n", me, seen)
#endif
           };
           /* fold_page(): Lane::fold_up_to() */
           atomic
           {
#ifdef BROKEN_SNAPSHOT_BEFORE_PUBLISHED
               seen = published;
#else
               take_snapshot();
#endif
               read(seen);
               caught_up = exhausted; exhausted = false;
               fold(seen)
           };
           atomic
           {
               caught_up = caught_up && !(published > seen + PAGE); /* far_from_settled() */
               seen = 0;
               if
               :: flush()
               :: !caught_up   /* what was folded waits for a later flush */
               fi;
               if
               :: lost_any -> lost_any = false; caught_up = false; goto start
               :: !lost_any && caught_up -> caught_up = false; break
               :: else
               fi
           }
        od;
        atomic { assignment[1] = handed_over; printf("worker %d: hands over\n", me) }
    }
#if RESTARTS > 0 || CRASHES > 0
    unless
    {
        atomic
        {
            incarnation[me] != alive ->
            snapshot = 0; page = 0; count = 0; seen = 0; lost = 0; p_ = 0; exhausted = false; caught_up = false; lost_any = false;
            goto start
        }
    };
#endif
ended:
    atomic { L.member = 0; L.cursor[1] = 0; L.stored[1] = 0; L.batch[1] = 0; alive = 0 }
}
#endif

/* --- What can happen to them --------------------------------------------------------------------------------------------- */

/* The worker starts again with nothing in its memory. */
inline forget(me)
{
    L.member = 0;
    L.stored[0] = 0; L.cursor[0] = 0; L.batch[0] = 0;
#if GENERATIONS == 2
    L.stored[1] = 0; L.cursor[1] = 0; L.batch[1] = 0;
#endif
    if
    :: me < TAILS ->
        settled[me].edge = 0; settled[me].proven = 0;
        settled[me].high[0] = 0; settled[me].holders[0] = 0; settled[me].high[1] = 0; settled[me].holders[1] = 0
    :: else
    fi;
    incarnation[me]++
}

#if RESTARTS > 0 || CRASHES > 0
proctype Misfortune()
{
    byte restarts, crashes;

    do
    :: restarts < RESTARTS -> atomic { restarts++; late_steps = 0; printf("worker 0 is killed\n"); forget(0) }
#ifdef REBUILD
    :: restarts < RESTARTS -> atomic { restarts++; late_steps = 0; printf("worker %d is killed\n", REBUILDER); forget(REBUILDER) }
#endif
#if CRASHES > 0
    :: crashes < CRASHES ->
        /* What a worker committed last may be lost as well (synchronous_commit = off), with all that was derived from it: that is
           a crash before the commit. */
        atomic
        {
            crashes++; late_steps = 0;
            printf("the server crashes\n");
            doomed = (1 << begun) - 1; holds = 0; taken = committed; published = NOTHING;
#ifdef GUARDED
            shown_floor = NOTHING; marked = NOTHING; marked_before = NOTHING; holder_floor[0] = NOTHING;
#if WRITERS > 1
            holder_floor[1] = NOTHING;
#endif
#if WRITERS > 2
            holder_floor[2] = NOTHING;
#endif
#endif
            forget(0);
#ifdef SECOND
            forget(1)
#endif
        }
#endif
    :: break
    od;
    restarts = 0; crashes = 0
}
#endif

/* When nothing is left to do, everything is applied. */
proctype End()
{
end:
    atomic
    {
        timeout ->
        assert(open_writers == 0);
        do
        :: g_ < GENERATIONS ->
            assert(assignment[g_] == in_tail);
            assert(applied[g_] == committed);
#ifdef SECOND
            assert(checkpoint[g_] == settled[0].edge || checkpoint[g_] == settled[1].edge || applied[g_] == 0);
            assert(checkpoint[g_] >= settled[0].edge && checkpoint[g_] >= settled[1].edge || applied[g_] == 0);
#else
            assert(checkpoint[g_] == settled[0].edge || applied[g_] == 0);
#ifndef SESSION
            assert(published == settled[0].edge);
#endif
#endif
            g_++
        :: else -> break
        od;
        g_ = 0
    }
}

init
{
    atomic
    {
#ifdef REBUILD
        assignment[1] = rebuilding;
        run Rebuild();
#endif
        run Tail(0);
#ifdef SECOND
        run Tail(1);
#endif
#if RESTARTS > 0 || CRASHES > 0
        run Misfortune();
#endif
        run End();
        run Writer(0);
#if WRITERS > 1
        run Writer(1);
#endif
#if WRITERS > 2
        run Writer(2);
#endif
    }
}
