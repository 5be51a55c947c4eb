-- Renews leases of one worker, all in one go.
--
-- ARGV  1 ms the leases last  then agent, generation pairs
-- Reply {agent, …}: those whose lease is lost
-- include: clock
-- include: fence
local lost = {}
for i = 2, #ARGV, 2 do
  if fenced(ARGV[i], ARGV[i + 1]) then
    redis.call('ZADD', K.leases(), MILLIS + tonumber(ARGV[1]), ARGV[i])
  else
    table.insert(lost, ARGV[i])
  end
end
return lost
