-- fenced(agent, generation): true when the caller still holds the lease of that generation.
local function fenced(agent, generation)
  local state = redis.call('HMGET', K.agent_state(agent), 'generation', 'status')
  return state[1] == generation and state[2] == 'leased'
end
