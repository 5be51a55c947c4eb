-- Sends a message from one agent to another in the name of a run, once; where its reply is awaited, notes who waits
-- for whom, unless that would close a circle. The same message again sends nothing and tells how it stands.
--
-- ARGV  1 agent  2 generation  3 run  4 receiver  5 run of the receiver  6 its record as JSON  7 ms its reply is awaited, or ''
--       8 runs that an inbox may hold  9 '1': nothing new (see send.lua)
-- Reply {'sent', generation or '', pool}  {'open'}  {'ended'}  {'late'} (open, and no longer awaited)  {'gone'} (deleted)
--       {'missing'} (no such receiver)  {'circle', receiver, …} (who waits for whom, up to the asking agent)  {'full'}
--       {'filling'}  {'fence'}
-- include: fence
-- include: send
local LOOKED_AT = 1000
local agent, run, receiver, asked = ARGV[1], ARGV[3], ARGV[4], ARGV[5]

-- The agents from the receiver to the one that asks, along who waits for whom. Only so many are looked at: a circle
-- longer than that ends at its deadlines.
local function circle()
  local waits_before, looked = {[receiver] = ''}, {receiver}
  local at = 1
  while looked[at] and at <= LOOKED_AT do
    local one = looked[at]
    if one == agent then
      local path = {}
      while one ~= '' do
        table.insert(path, 1, one)
        one = waits_before[one]
      end
      return path
    end
    for _, other in ipairs(redis.call('HVALS', K.agent_awaits(one))) do
      if not waits_before[other] then
        waits_before[other] = one
        table.insert(looked, other)
      end
    end
    at = at + 1
  end
end

local function refused(reply)
  redis.call('HSET', K.run_calls(run), 'asked:' .. asked, cjson.encode(reply))
  return reply
end

local function as_it_stands(deadline)
  if string.sub(deadline, 1, 1) == '[' then return cjson.decode(deadline) end
  local status = redis.call('HGET', K.run(asked), 'status')
  if not status then return {'gone'} end
  if status ~= 'created' and status ~= 'running' then return {'ended'} end
  if tonumber(deadline) > MILLIS then return {'open'} end
  redis.call('HDEL', K.agent_awaits(agent), asked)
  return {'late'}
end

if not fenced(agent, ARGV[2]) then return {'fence'} end
local known = redis.call('HGET', K.run_calls(run), 'asked:' .. asked)
if known then return as_it_stands(known) end
if redis.call('EXISTS', K.agent(receiver)) == 0 then return refused({'missing'}) end
local path = ARGV[7] ~= '' and circle()
if path then return refused({'circle', unpack(path)}) end
local refusal = no_room(receiver, ARGV[8], ARGV[9])
if refusal then return refused(refusal) end
local woken = send(receiver, asked, ARGV[6], '') or {'', ''}
if ARGV[7] == '' then
  redis.call('HSET', K.run_calls(run), 'asked:' .. asked, '0')
else
  redis.call('HSET', K.run(asked), 'reply_to', agent)
  redis.call('HSET', K.agent_awaits(agent), asked, receiver)
  redis.call('HSET', K.run_calls(run), 'asked:' .. asked, string.format('%d', MILLIS + tonumber(ARGV[7])))
end
return {'sent', woken[1], woken[2]}
