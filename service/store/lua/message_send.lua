-- Puts a message into an agent's inbox as a new run, and marks an idle agent ready. The same run again changes nothing.
--
-- ARGV  1 agent  2 run  3 record as JSON  4 '1' if what the run says is to be kept for streams
--       5 '1' if it has a callback
-- Reply {'ok', created_at, generation or '', pool}  {'known'} {'missing'} (no such agent)
-- include: send
local agent, run = ARGV[1], ARGV[2]
if redis.call('EXISTS', K.run(run)) == 1 then return {'known'} end
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
local woken = send(agent, run, ARGV[3], ARGV[4], ARGV[5]) or {'', ''}
return {'ok', MICROS, woken[1], woken[2]}
