-- Takes the lease of a ready agent, with the run to carry on with if its last arguments are given (take.lua).
--
-- ARGV  1 agent  2 generation  3 worker  4 ms the lease lasts
--       5 tokens  6 steps that the workspace may use in an hour  7 workers that a run may lose
-- Reply {'ok', what next_run gives}  {'stale'}  {'raised', generation, pool}
-- include: take
return take(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
