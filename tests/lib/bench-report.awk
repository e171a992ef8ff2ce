# Part of tests/bench.sh: samples in, tables out. POSIX awk.
# Columns: cell, round, engine, operations/s, MiB/s, median and 99th percentile of the latency (us), CPU time per operation
# (us) of the engine, of the server, of fio, peak resident memory of the engine (KiB), share of the machine (%) that
# processes outside the run used.
# Variables: subject = the engine that is judged; section = tables | bars | noise | line (of the cell `cell`).

NF >= 12 {
    if (!($1 in seen_cell)) { seen_cell[$1] = 1; cells[++cell_count] = $1 }
    if (!($3 in seen_engine)) { seen_engine[$3] = 1 }
    k = $1 SUBSEP $3
    n = ++count[k]
    for (i = 4; i <= 12; i++) value[k, i, n] = $i
    by_round[$1, $2, $3] = is_small($1) ? $4 : $5
    if ($2 > last_round) last_round = $2 + 0
    samples++
    if ($12 > 15) noisy++
    if ($12 > worst) worst = $12
    noise_sum += $12
}

END {
    known = split("a b ours loop nbdfuse peerloop qsd ceiling", order, " ")
    for (i = 1; i <= known; i++) if (order[i] in seen_engine) engines[++engine_count] = order[i]
    if (section == "tables") tables()
    if (section == "bars") bars()
    if (section == "noise") noise()
    if (section == "line") line()
}

function is_small(cell) { return cell ~ /[rw]4k/ }

# Sorted copy of one column of one cell and engine into sorted[]; returns how many.
function sort_column(cell, engine, column,    n, i, j, v) {
    n = count[cell, engine] + 0
    for (i = 1; i <= n; i++) {
        v = value[cell, engine, column, i] + 0
        for (j = i - 1; j >= 1 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n
}

function middle(n) { return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2 }

function median(cell, engine, column,    n) { n = sort_column(cell, engine, column); return n ? middle(n) : "" }

function maximum(cell, engine, column,    n) { n = sort_column(cell, engine, column); return n ? sorted[n] : "" }

# Half of the range of all samples, in percent of their median.
function spread(cell, engine,    n, m) {
    n = sort_column(cell, engine, rate_column(cell)); if (!n) return ""
    m = middle(n)
    return m > 0 ? 50 * (sorted[n] - sorted[1]) / m : ""
}

function rate_column(cell) { return is_small(cell) ? 4 : 5 }

function rate(cell, engine) { return median(cell, engine, rate_column(cell)) }

function rate_text(cell, engine,    v) {
    v = rate(cell, engine)
    if (v == "") return "-"
    return is_small(cell) ? sprintf("%.1fk", v / 1000) : sprintf("%.0f", v)
}

function ratio(cell, engine,    a, b) {
    a = rate(cell, subject); b = rate(cell, engine)
    return a == "" || b == "" || b == 0 ? "" : a / b
}

function ratio_text(cell, engine,    r) { r = ratio(cell, engine); return r == "" ? "-" : sprintf("%.2f", r) }

function cell_text(cell,    what, size, depth) {
    what = cell ~ /^br/ ? "buffered sequential read" : cell ~ /^hr/ ? "hot set read" : cell ~ /^zr/ ? "zipf read" \
        : cell ~ /^sr/ ? "hot set read beside a scan" : cell ~ /^rr/ ? "random read" : cell ~ /^rw/ ? "random write" : cell ~ /^r/ ? "read" : "write"
    size = cell; sub(/^[a-z]+/, "", size)
    depth = size; sub(/^[0-9]+[km]/, "", depth)
    size = substr(size, 1, length(size) - length(depth))
    sub(/k$/, " KiB", size); sub(/m$/, " MiB", size)
    return size " " what ", depth " depth
}

function title(engine) {
    if (engine == "ours") return "nbdfuse (this)"
    if (engine == "nbdfuse") return "libnbd nbdfuse"
    if (engine == "qsd") return "QEMU FUSE export"
    if (engine == "loop") return "attach (loop)"
    if (engine == "peerloop") return "loop on libnbd"
    if (engine == "ceiling") return "ceiling"
    return "build " toupper(engine)
}

# Rows are collected first, so that the columns line up on a terminal too.
function add(text) { row_cells[rows, ++columns[rows]] = text }

function next_row() { rows++; columns[rows] = 0 }

function print_table(    r, c, width, text, pad, last) {
    for (r = 1; r <= rows; r++)
        for (c = 1; c <= columns[r]; c++)
            if (length(row_cells[r, c]) > width[c]) width[c] = length(row_cells[r, c])
    for (r = 1; r <= rows; r++) {
        text = "|"
        for (c = 1; c <= columns[r]; c++)
            text = text sprintf(c <= 2 ? " %-" width[c] "s |" : " %" width[c] "s |", row_cells[r, c])
        print text
        if (r > 1) continue
        text = "|"
        for (c = 1; c <= columns[r]; c++) {
            pad = sprintf("%" (c <= 2 ? width[c] : width[c] - 1) "s", ""); gsub(/ /, "-", pad)
            text = text " " pad (c <= 2 ? " |" : ": |")
        }
        print text
    }
    print ""
    rows = 0
}

function tables(    i, j, c, e, v) {
    print "Medians: thousands of operations per second at 4 KiB, MiB per second otherwise. The last column is half the range of"
    print "the " title(subject) " samples in percent.\n"
    next_row(); add("cell"); add("workload")
    for (i = 1; i <= engine_count; i++) add(title(engines[i]))
    for (i = 1; i <= engine_count; i++) if (engines[i] != subject && (subject in seen_engine)) add("/ " engines[i])
    if (subject == "b") add("paired B/A")
    add("+-%")
    for (j = 1; j <= cell_count; j++) {
        c = cells[j]; next_row(); add(c); add(cell_text(c))
        for (i = 1; i <= engine_count; i++) add(rate_text(c, engines[i]))
        for (i = 1; i <= engine_count; i++) if (engines[i] != subject && (subject in seen_engine)) add(ratio_text(c, engines[i]))
        if (subject == "b") add(paired(c))
        v = spread(c, subject); add(v == "" ? "-" : sprintf("%.0f", v))
    }
    print_table()

    print "CPU time per operation in microseconds (engine + nbdkit; the ceiling's engine is fio itself), and the engine's peak"
    print "resident memory in MiB.\n"
    next_row(); add("cell"); add("workload")
    for (i = 1; i <= engine_count; i++) add(title(engines[i]))
    for (i = 1; i <= engine_count; i++) if (engines[i] != "ceiling") add("MiB " engines[i])
    for (j = 1; j <= cell_count; j++) {
        c = cells[j]; next_row(); add(c); add(cell_text(c))
        for (i = 1; i <= engine_count; i++) {
            e = engines[i]
            add(!((c, e) in count) ? "-" : sprintf("%.1f + %.1f", median(c, e, e == "ceiling" ? 10 : 8), median(c, e, 9)))
        }
        for (i = 1; i <= engine_count; i++) {
            e = engines[i]
            if (e != "ceiling") add(!((c, e) in count) ? "-" : sprintf("%.0f", maximum(c, e, 11) / 1024))
        }
    }
    print_table()

    print "Latency in microseconds, median / 99th percentile, as fio sees it.\n"
    next_row(); add("cell"); add("workload")
    for (i = 1; i <= engine_count; i++) add(title(engines[i]))
    for (j = 1; j <= cell_count; j++) {
        c = cells[j]; next_row(); add(c); add(cell_text(c))
        for (i = 1; i <= engine_count; i++) {
            e = engines[i]
            add(!((c, e) in count) ? "-" : sprintf("%.0f / %.0f", median(c, e, 6), median(c, e, 7)))
        }
    }
    print_table()
}

# Median and range of B/A inside each round: what both saw of a disturbance cancels out.
function paired(cell,    r, n, j, v) {
    n = 0
    for (r = 1; r <= last_round; r++) {
        if (!((cell, r, "a") in by_round) || !((cell, r, "b") in by_round) || by_round[cell, r, "a"] <= 0) continue
        v = by_round[cell, r, "b"] / by_round[cell, r, "a"]
        for (j = n; j >= 1 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
        n++
    }
    return n ? sprintf("%.2f (%.2f-%.2f)", middle(n), sorted[1], sorted[n]) : "-"
}

# verdict: 1 met, 0 missed, "" not measured.
function bar(verdict, text) { printf "- %s %s\n", verdict == "" ? "N/A " : verdict ? "PASS" : "MISS", text; bar_count++ }

function at_least(cell, engine, factor,    r) {
    r = ratio(cell, engine)
    bar(r == "" ? "" : r >= factor, sprintf("%s: %s of %s, bar %.1f", cell_text(cell), ratio_text(cell, engine), title(engine), factor))
}

function bars(    j, c, a, q, n, best, m) {
    if (subject != "ours" && subject != "loop") return
    print "Bars:\n"
    if (subject == "loop") {
        for (j = 1; j <= cell_count; j++) {
            c = cells[j]
            if (c != "rr4k32") continue
            at_least(c, "ours", 0.7)
            at_least(c, "peerloop", 2)
        }
        if (!bar_count) print "none applies to these cells"
        return
    }

    for (j = 1; j <= cell_count && (latency || mbit); j++) {
        c = cells[j]
        if (mbit && c ~ /^br/) {
            a = rate(c, "ours")
            bar(a == "" ? "" : a >= 0.9 * mbit * 1e6 / 8 / 1048576, sprintf("%s: %s of %.0f MiB/s that the link has, bar 0.9", cell_text(c), a == "" ? "-" : sprintf("%.2f", a / (mbit * 1e6 / 8 / 1048576)), mbit * 1e6 / 8 / 1048576))
        } else if (latency && c ~ /^br/) at_least(c, "nbdfuse", 20)
        else if (latency && c ~ /^hr/) at_least(c, "nbdfuse", 50)
    }
    if (latency || mbit) return
    for (j = 1; j <= cell_count; j++) {
        c = cells[j]
        if (c == "rr4k32" || c == "rw4k32") {
            at_least(c, "qsd", 1.6)
            at_least(c, "nbdfuse", 2.8)
            m = maximum(c, "ours", 11)
            bar(m == "" ? "" : m < 80 * 1024, sprintf("%s: peak resident memory %s MiB, bar below 80", cell_text(c), m == "" ? "-" : sprintf("%.0f", m / 1024)))
        } else if (c ~ /^[rw]+(128k|1m)/) {
            a = rate(c, "ours"); q = rate(c, "qsd"); n = rate(c, "nbdfuse")
            if (a == "" || q == "" || n == "") { bar("", cell_text(c) ": the better of both peers"); continue }
            best = q > n ? "qsd" : "nbdfuse"
            bar(ratio(c, best) >= 1, sprintf("%s: %.3f of the better peer (%s), bar 1.0", cell_text(c), ratio(c, best), title(best)))
        }
    }
    if (!bar_count) print "none applies to these cells"
}

function noise() {
    printf "Noise: other processes used %.0f %% of the machine on average, %.0f %% in the worst run; %d of %d runs were above 15 %%.\n",
        samples ? noise_sum / samples : 0, worst, noisy, samples
    if (noisy > samples / 4) print "\n**The machine was not quiet: ratios may be wrong by more than the spread shows.**"
}

function line(    i, text) {
    for (i = 1; i <= engine_count; i++) text = text sprintf("%s%s %s", i > 1 ? ", " : "", engines[i], rate_text(cell, engines[i]))
    print text
}
