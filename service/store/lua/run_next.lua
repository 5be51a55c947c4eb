-- The run to carry on with, or an idle agent and no lease, in one act (next_run.lua).
--
-- ARGV  1 agent  2 generation  3 tokens  4 steps that the workspace may use in an hour (0: any)
--       5 workers that a run may lose in a row, with no step stored in between, before it is given up
-- Reply as next_run, or {'fence'}
-- include: fence
-- include: next_run
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
return next_run(ARGV[1], ARGV[3], ARGV[4], ARGV[5])
