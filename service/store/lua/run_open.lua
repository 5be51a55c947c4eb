-- Stores with a run what its model calls start from (opening.lua).
--
-- ARGV  1 agent  2 generation  3 run  then the rest of what `open` takes
-- Reply {'ok'}  {'fence'}
-- include: fence
-- include: opening
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
open(ARGV[1], ARGV[3], unpack(ARGV, 4))
return {'ok'}
