-- Claims due jobs from a queue that is in this store. Of the first steps among them the lease is taken in the same act,
-- with the run to carry on with (take.lua); whoever has the others takes theirs himself, so that a crowd of jobs keeps
-- nobody else waiting.
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 to 5 as queue_claim  6 worker  7 ms a lease lasts  8 tokens  9 steps that a workspace may use in an hour
--       10 workers that a run may lose
-- Reply {ms until the next job is due or -1, job id, score, text or '', which try this is, taken, …}
--       taken: what take gives, {'failed', why}, or '' where it was not tried
-- include: claim
-- include: take
local LEASES_AT_ONCE = 8
local found = claim(KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local reply, leases = {found[1]}, 0
for i = 2, #found, 4 do
  local workspace, agent, generation = string.match(found[i], '^step:([^:]+):([^:]+):(%d+)$')
  local taken = ''
  if workspace and found[i + 2] ~= '' and leases < LEASES_AT_ONCE then
    leases = leases + 1
    in_workspace(workspace)
    local ok, given = pcall(take, agent, generation, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
    -- What is wrong with one agent is told to its job, and keeps no other from its worker.
    taken = ok and given or {'failed', type(given) == 'table' and given.err or tostring(given)}
  end
  for k = i, i + 3 do table.insert(reply, found[k]) end
  table.insert(reply, taken)
end
return reply
