"""What the literature says of each test, written down by hand; the models have to agree.

Sources of the rows, by the letters in their last column:

h   Alglave, Maranget and Tautschnig, *Herding cats: modelling, simulation, testing, and data mining for weak
    memory* (TOPLAS 2014): the classic patterns and which relaxation each needs.
i   *Intel 64 Architecture Memory Ordering White Paper* (2007), examples 2.1 to 2.8, for x86.
x   Sewell, Sarkar, Owens, Zappa Nardelli and Myreen, *x86-TSO: a rigorous and usable programmer's model for
    x86 multiprocessors* (CACM 2010): SB, IRIW, n4b, n5 and n6.
v   *The SPARC Architecture Manual*, version 8 (1992), chapter 6 and appendix K (TSO, PSO), and version 9
    (1994), chapter 8 and appendix D (RMO).
r   Replicas: Ahamad et al., *Causal memory* (1995); Lipton and Sandberg, *PRAM* (1988); Hutto and Ahamad,
    *Slow memory* (1990): what the order in which messages are applied lets each replica show.
l   Keleher, Cox and Zwaenepoel, *Lazy release consistency* (1992): nothing is seen before an acquire.
m   Bershad, Zekauskas and Sawdon, *The Midway distributed shared memory system* (1993): a lock brings its own data.
s   Adve and Hill, *Weak ordering: a new definition* (1990): a program without data races behaves as on SC memory.
p   pydsm's contract, docs/memory-model.md, for what fences, atomic operations and barriers mean.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PUBLISHED", "expected"]

# A: the outcome that the test asks about is allowed.  -: it is forbidden.
PUBLISHED: Final = """
test                    sc tso pso rmo rmo9 causal pram slow lrc entry  source
SB                      -  A   A   A   A    A      A    A    A   A      i2.3 x h v r l
SB+fence                -  A   A   A   A    A      A    A    A   A      h r p
SB+fences               -  -   -   -   -    -      -    -    -   -      x h v p
SB+locks                -  -   -   -   -    -      -    -    -   -      i2.8 s
SB+locks-elsewhere      -  -   -   -   -    -      -    -    -   A      i2.8 l m
SB+atomics              -  -   -   -   -    -      -    -    -   -      i2.8 p
SB+barrier              -  -   -   -   -    -      -    -    -   -      s p
SB+rfi                  -  A   A   A   A    A      A    A    A   A      i2.4 h
MP                      -  -   A   A   A    -      -    A    -   -      i2.1 h v r l
MP+fence                -  -   -   A   A    -      -    -    -   -      h v p
MP+fences               -  -   -   -   -    -      -    -    -   -      h v p
MP+fences-outside       -  -   A   A   A    -      -    A    -   -      h p
MP+locks                -  -   -   -   -    -      -    -    -   -      s
MP+lock-of-another-row  -  -   -   -   -    -      -    -    -   A      l m
MP+locks-nested         -  -   -   -   -    -      -    -    -   -      s
MP+rel-acq              -  -   -   -   -    -      -    -    -   -      s p
MP+barrier              -  -   -   -   -    -      -    -    -   -      s p
LB                      -  -   -   A   A    -      -    -    -   -      i2.2 h v r
LB+data                 -  -   -   A   A    -      -    -    -   -      h v r
LB+datas                -  -   -   -   -    -      -    -    -   -      h v
LB+fences               -  -   -   -   -    -      -    -    -   -      h v
CoRR                    -  -   -   -   A    -      -    -    -   -      h v r
CoRR2                   -  -   -   -   A    A      A    A    -   -      i2.6 r
CoRW                    -  -   -   -   -    -      A    A    -   -      h r
CoWR                    -  -   -   -   -    A      A    A    -   -      h r
CoWW                    -  -   -   -   -    -      -    -    -   -      h v r
WRC                     -  -   -   A   A    -      A    A    -   -      i2.5 h r
WRC+fences              -  -   -   -   -    -      A    A    -   -      h v r
WRC+locks               -  -   -   -   -    -      -    -    -   -      s
WRC+rel-acq             -  -   -   -   -    -      -    -    -   -      s p
ISA2                    -  -   A   A   A    -      A    A    -   -      h r
ISA2+locks-of-flags     -  -   -   -   -    -      -    -    -   A      l m
RWC                     -  A   A   A   A    A      A    A    -   -      h r
RWC+fences              -  -   -   -   -    -      A    A    -   -      h v r
IRIW                    -  -   -   A   A    A      A    A    -   -      x h v r
IRIW+fences             -  -   -   -   -    -      A    A    -   -      h v r
IRIW+atomics            -  -   -   -   -    -      -    -    -   -      i2.7 p
2+2W                    -  -   A   A   A    -      -    A    A   A      h v r l
2+2W+fences             -  -   -   -   -    -      -    -    -   -      h v p
2+2W+locks              -  -   -   -   -    -      -    -    -   -      s
S                       -  -   A   A   A    -      A    A    -   -      h v r
S+fences                -  -   -   -   -    -      -    -    -   -      h v p
R                       -  A   A   A   A    A      A    A    A   A      h v r l
R+fences                -  -   -   -   -    -      -    -    -   -      h v p
n4b                     -  -   -   -   -    -      -    -    -   -      x
n5                      -  -   -   -   -    A      A    A    -   -      x r
n6                      -  A   A   A   A    A      A    A    A   A      x
INC                     A  A   A   A   A    A      A    A    A   A      h
INC+locks               -  -   -   -   -    -      -    -    -   -      s
INC+fences              A  A   A   A   A    A      A    A    A   A      h
INC+atomics             -  -   -   -   -    -      -    -    -   -      i2.7 p
XCHG                    -  -   -   -   -    -      -    -    -   -      i2.7 p
"""


def expected() -> dict[str, dict[str, bool]]:
    """Return the table as `pydsm.lab.matrix` gives it."""
    head, *rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    models = head[1:-1]
    return {row[0]: {model: cell == "A" for model, cell in zip(models, row[1:], strict=False)} for row in rows}
